"""Updates of lattice fields, site by site and cluster by cluster, compiled for the CPU.

phi: [chains, sites], changed in place. near: [sites, 2 D], the neighbours' numbers. streams: [chains] uint64, a stream
of random numbers each (splitmix64: Steele, Lea and Flood 2014). The energy is that of `monge.densities.Phi4`, of which
`Ising` is the case of values +-1 and kappa = beta / 2.
"""

import math

import numpy as np

from monge.compiling import compiled

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX_1, MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
S27, S30, S31, S11 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(11)


@compiled
def _mixed(stream):
    z = stream
    z = (z ^ (z >> S30)) * MIX_1
    z = (z ^ (z >> S27)) * MIX_2
    return z ^ (z >> S31)


@compiled
def _uniform(stream):
    """In (0, 1), of the stream's present word."""
    return (float(_mixed(stream) >> S11) + 0.5) * 2.0**-53


@compiled
def ising(phi, streams, near, order, beta):
    """Heat bath: each spin anew from its law given its neighbours, in this order of sites."""
    for c in range(len(phi)):
        s, stream = phi[c], streams[c]
        for i in order:
            around = 0.0
            for m in range(near.shape[1]):
                around += s[near[i, m]]
            stream += GOLDEN
            s[i] = 1.0 if _uniform(stream) * (1.0 + math.exp(-2.0 * beta * around)) < 1.0 else -1.0


@compiled
def phi4(phi, streams, near, order, kappa, lam, field):
    """Heat bath: each value anew from its law given its neighbours, exactly, by rejection.

    With c > 0 the law exp(-a v^2 - lam v^4 + b v) is that of a Gaussian of precision 2 (a + 2 lam c), accepted with
    probability exp(-lam (v^2 - c)^2); c is the mean of v^2, where that probability is high.
    """
    a = 1 - 2 * lam
    for k in range(len(phi)):
        s, stream = phi[k], streams[k]
        c = 0.0
        for i in range(len(s)):
            c += s[i] * s[i]
        c /= len(s)
        if lam > 0:
            c = max(c, (0.5 - a) / (2 * lam))
        precision = a + 2 * lam * c
        spread = math.sqrt(0.5 / precision)
        spare, left = 0.0, False
        for i in order:
            around = 0.0
            for m in range(near.shape[1]):
                around += s[near[i, m]]
            middle = (kappa * around + 0.5 * field) / precision
            while True:
                if left:
                    z, left = spare, False
                else:
                    stream += GOLDEN
                    radius = math.sqrt(-2.0 * math.log(_uniform(stream)))
                    stream += GOLDEN
                    angle = 2.0 * math.pi * _uniform(stream)
                    z, spare, left = radius * math.cos(angle), radius * math.sin(angle), True
                value = middle + spread * z
                away = value * value - c
                stream += GOLDEN
                if _uniform(stream) < math.exp(-lam * away * away):
                    break
            s[i] = value


@compiled
def wolff(phi, streams, sizes, near, kappa, field, clusters):
    """So many clusters of sites of a sign, grown from a site drawn evenly and turned over (Wolff 1989).

    A bond joins with probability 1 - exp(-4 kappa phi_x phi_y); in a field a cluster turns with the probability of its
    energy. sizes: [chains] <- sites of the clusters grown.
    """
    sites = phi.shape[1]
    mark = np.zeros(sites, np.int32)
    stack = np.empty(sites, np.int32)
    stamp = 0
    for k in range(len(phi)):
        s, stream, grown = phi[k], streams[k], 0
        for _ in range(clusters):
            stamp += 1
            stream += GOLDEN
            seed = min(int(_uniform(stream) * sites), sites - 1)
            stack[0], mark[seed], filled, at, total = seed, stamp, 1, 0, s[seed]
            while at < filled:
                i = stack[at]
                at += 1
                for m in range(near.shape[1]):
                    j = near[i, m]
                    if mark[j] != stamp:
                        tied = 4.0 * kappa * s[i] * s[j]
                        if tied > 0:
                            stream += GOLDEN
                            if _uniform(stream) < 1.0 - math.exp(-tied):
                                mark[j] = stamp
                                stack[filled] = j
                                filled += 1
                                total += s[j]
            grown += filled
            stream += GOLDEN
            if field == 0.0 or _uniform(stream) < math.exp(min(0.0, -2.0 * field * total)):
                for at in range(filled):
                    s[stack[at]] = -s[stack[at]]
        sizes[k] = grown
