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
TRIES = 64  # of the Gaussian that suits most sites
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
def _normal(stream):
    """Two normal numbers and the stream after them, by Marsaglia's polar method."""
    while True:
        stream += GOLDEN
        a = 2.0 * _uniform(stream) - 1.0
        stream += GOLDEN
        b = 2.0 * _uniform(stream) - 1.0
        square = a * a + b * b
        if 0.0 < square < 1.0:
            scale = math.sqrt(-2.0 * math.log(square) / square)
            return a * scale, b * scale, stream


@compiled
def _spins(s, stream, near, order, kappa):
    """Heat bath of the Ising model: each spin anew from its law given its neighbours, in this order of sites."""
    for i in order:
        around = 0.0
        for m in range(near.shape[1]):
            around += s[near[i, m]]
        stream += GOLDEN
        s[i] = 1.0 if _uniform(stream) * (1.0 + math.exp(-4.0 * kappa * around)) < 1.0 else -1.0
    return stream


@compiled
def _own(a, lam, b):
    """The A = a + 2 lam c of the Gaussian exp(-A v^2 + b v) from which most is accepted, where c is its mean of v^2:
    A = a + 2 lam ((b / 2 A)^2 + 1 / 2 A), by bisection."""
    low, high = 0.0, 1.0
    while a + 2 * lam * (b * b / (4 * high * high) + 0.5 / high) > high:
        low, high = high, 2 * high
    for _ in range(60):
        middle = 0.5 * (low + high)
        if middle > 0 and a + 2 * lam * (b * b / (4 * middle * middle) + 0.5 / middle) > middle:
            low = middle
        else:
            high = middle
    return high


@compiled
def _values(s, stream, near, order, kappa, lam, field):
    """Heat bath of phi^4: each value anew from its law given its neighbours, exactly, by rejection.

    For any c that law, exp(-a v^2 - lam v^4 + b v), is that of a Gaussian of precision 2 (a + 2 lam c) accepted with
    probability exp(-lam (v^2 - c)^2); with c the mean of v^2 that is nearly always, and where it is not a site takes
    the c that suits its neighbours.
    """
    a, c = 1 - 2 * lam, 0.0
    for i in range(len(s)):
        c += s[i] * s[i]
    c /= len(s)
    if lam > 0:
        c = max(c, (0.5 - a) / (2 * lam))
    precision = a + 2 * lam * c
    spread = math.sqrt(0.5 / precision)
    spare, left = 0.0, False
    common, wide = c, spread
    for i in order:
        around = 0.0
        for m in range(near.shape[1]):
            around += s[near[i, m]]
        c, spread, middle, tries = common, wide, (kappa * around + 0.5 * field) / precision, 0
        while True:
            tries += 1
            if tries == TRIES:  # the field is far from its law: this site's own c
                own = _own(a, lam, 2 * kappa * around + field)
                middle = (kappa * around + 0.5 * field) / own
                spread = math.sqrt(0.5 / own)
                c = middle * middle + 0.5 / own
            if left:
                z, left = spare, False
            else:
                z, spare, stream = _normal(stream)
                left = True
            value = middle + spread * z
            away = value * value - c
            loss = lam * away * away
            stream += GOLDEN
            u = _uniform(stream)
            if u < 1.0 - loss or u < math.exp(-loss):  # the first implies the second
                break
        s[i] = value
    return stream


@compiled
def _shift(s, stream, wave, beside, kappa, lam, field):
    """phi + c wave, c from its law given phi: exp of a polynomial of degree 4, by slice sampling (Neal 2003).

    beside: the sum of the wave over the neighbours of each site.
    """
    a, one, two, three, four = 1 - 2 * lam, 0.0, 0.0, 0.0, 0.0
    for i in range(len(s)):
        v, w, n = s[i], wave[i], beside[i]
        square, steep = w * w, lam * v
        one += w * (2 * a * v - field + 4 * steep * v * v) - 2 * kappa * v * n
        two += square * (a + 6 * steep * v) - kappa * w * n
        three += 4 * steep * w * square
        four += lam * square * square
    step, c = 2.0 / math.sqrt(abs(2 * two) + math.sqrt(four) + 1e-12), 0.0
    for _ in range(2):
        stream += GOLDEN
        level = c * (one + c * (two + c * (three + c * four))) - math.log(_uniform(stream))
        stream += GOLDEN
        low = c - step * _uniform(stream)
        high = low + step
        while low * (one + low * (two + low * (three + low * four))) < level:
            low -= step
        while high * (one + high * (two + high * (three + high * four))) < level:
            high += step
        while True:
            stream += GOLDEN
            new = low + (high - low) * _uniform(stream)
            if new * (one + new * (two + new * (three + new * four))) <= level:
                break
            if new < c:
                low = new
            else:
                high = new
        c = new
    for i in range(len(s)):
        s[i] += c * wave[i]
    return stream


@compiled
def _cluster(s, stream, near, kappa, field, mark, stack, stamp):
    """A cluster of sites of a sign, grown from a site drawn evenly, and turned over (Wolff 1989): its size.

    A bond joins with probability 1 - exp(-4 kappa phi_x phi_y); in a field the cluster turns with the probability of
    its energy.
    """
    stream += GOLDEN
    seed = min(int(_uniform(stream) * len(s)), len(s) - 1)
    stack[0], mark[seed], filled, at, total = seed, stamp, 1, 0, s[seed]
    while at < filled:
        i = stack[at]
        at += 1
        for m in range(near.shape[1]):
            j = near[i, m]
            tied = 4.0 * kappa * s[i] * s[j]
            if tied > 0 and mark[j] != stamp:
                stream += GOLDEN
                u = _uniform(stream)
                if u < tied and u < 1.0 - math.exp(-tied):  # the second implies the first
                    mark[j] = stamp
                    stack[filled] = j
                    filled += 1
                    total += s[j]
    stream += GOLDEN
    if field == 0.0 or _uniform(stream) < math.exp(min(0.0, -2.0 * field * total)):
        for k in range(filled):
            s[stack[k]] = -s[stack[k]]
    return filled, stream


@compiled
def _energy(s, near, kappa, lam, field, spins):
    total = 0.0
    for i in range(len(s)):
        around = 0.0
        for m in range(near.shape[1]):
            around += s[near[i, m]]
        v = s[i]
        total -= (kappa * around + field) * v
        if not spins:
            total += ((1 - 2 * lam) + lam * v * v) * v * v
    return total


@compiled
def step(phi, streams, sizes, energies, near, order, waves, beside, kappa, lam, field, spins, sweep, clusters):
    """A sweep, a shift along each wave, so many clusters. sizes, energies: [chains] <- sites turned; the energy."""
    sites = phi.shape[1]
    mark, stack = np.zeros(sites, np.int32), np.empty(sites, np.int32)
    stamp = 0
    for k in range(len(phi)):
        s, stream, turned = phi[k], streams[k], 0
        if sweep and spins:
            stream = _spins(s, stream, near, order, kappa)
        elif sweep:
            stream = _values(s, stream, near, order, kappa, lam, field)
        for w in range(len(waves)):
            stream = _shift(s, stream, waves[w], beside[w], kappa, lam, field)
        for _ in range(clusters):
            stamp += 1
            size, stream = _cluster(s, stream, near, kappa, field, mark, stack, stamp)
            turned += size
        sizes[k] = turned
        energies[k] = _energy(s, near, kappa, lam, field, spins)
