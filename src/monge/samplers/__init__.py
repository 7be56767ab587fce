"""The time loops: Markov chains, Langevin, replica exchange, reverse diffusion, and transport by fields."""

from monge import objects
from monge.samplers.chains.annealing import annealed_langevin, simulated_annealing
from monge.samplers.chains.conditional import ByChains, Means
from monge.samplers.chains.draws import Chains, DoubtfulChains
from monge.samplers.chains.hamiltonian import Hamiltonian
from monge.samplers.chains.langevin import Adjusted, Unadjusted
from monge.samplers.chains.lattice_moves import LatticeMoves
from monge.samplers.chains.markov import gibbs, hmc, mala, metropolis_hastings, replica_exchange, ula, wolff
from monge.samplers.chains.metropolis import Metropolis, Proposal
from monge.samplers.chains.states import Info, Kernel, State
from monge.samplers.chains.tempering import ReplicaExchange
from monge.samplers.chains.walk import Options
from monge.samplers.diffusion.calibration import Calibrated, Calibration
from monge.samplers.diffusion.descent import Trajectory, noise_levels
from monge.samplers.diffusion.linearisation import Gains, Linearisation
from monge.samplers.diffusion.pilot import Plan, calibration_rows, pilot, pilot_rows
from monge.samplers.diffusion.posterior import Posterior, posterior
from monge.samplers.diffusion.reverse import reverse_diffusion
from monge.samplers.diffusion.solvers import EulerMaruyama, ExponentialMultistep, Heun, Past, Solver, Step
from monge.samplers.diffusion.transported import decode, encode, log_prob
from monge.samplers.paths import ResidualBlock, picard, residual_blocks, walk
from monge.samplers.transport import Integrated, integrate

__all__ = [
    "Adjusted",
    "ByChains",
    "Calibrated",
    "Calibration",
    "Chains",
    "DoubtfulChains",
    "EulerMaruyama",
    "ExponentialMultistep",
    "Gains",
    "Hamiltonian",
    "Heun",
    "Info",
    "Integrated",
    "Kernel",
    "LatticeMoves",
    "Linearisation",
    "Means",
    "Metropolis",
    "Options",
    "Past",
    "Plan",
    "Posterior",
    "Proposal",
    "ReplicaExchange",
    "ResidualBlock",
    "Solver",
    "State",
    "Step",
    "Trajectory",
    "Unadjusted",
    "annealed_langevin",
    "calibration_rows",
    "decode",
    "encode",
    "gibbs",
    "hmc",
    "integrate",
    "log_prob",
    "mala",
    "metropolis_hastings",
    "noise_levels",
    "picard",
    "pilot",
    "pilot_rows",
    "posterior",
    "replica_exchange",
    "residual_blocks",
    "reverse_diffusion",
    "simulated_annealing",
    "ula",
    "walk",
    "wolff",
]

objects.register(__name__, ("EulerMaruyama", "ExponentialMultistep", "Heun"))
