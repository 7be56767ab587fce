"""monge: learn a probability law by moving noise onto data, draw new samples, and know whether to believe them."""
