"""Reverse diffusion: what is found out of a denoiser, steps and their rules, and the deterministic transport."""
