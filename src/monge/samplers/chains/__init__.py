"""Markov chains: kernels, the loop that runs them, and what is to be believed of their draws."""
