"""The time loops: Markov chains, Langevin, replica exchange, reverse diffusion, ODE, and the Fokker-Planck equation."""

from monge.samplers.annealing import annealed_langevin, simulated_annealing
from monge.samplers.chains import Chains, DoubtfulChains
from monge.samplers.descent import Trajectory, levels
from monge.samplers.finite import FiniteChain
from monge.samplers.fokker_planck import Evolution, fokker_planck
from monge.samplers.hamiltonian import Hamiltonian
from monge.samplers.langevin import Adjusted, Unadjusted
from monge.samplers.lattice_moves import LatticeMoves
from monge.samplers.linearisation import Gains, Linearisation
from monge.samplers.markov import gibbs, hmc, mala, metropolis_hastings, replica_exchange, ula, wolff
from monge.samplers.metropolis import Metropolis, Proposal
from monge.samplers.ode import decode, encode, log_prob
from monge.samplers.pilot import PATHS, Known, pilot
from monge.samplers.reverse import reverse_diffusion
from monge.samplers.solvers import EulerMaruyama, ExponentialMultistep, Heun, Past, Solver, Step
from monge.samplers.states import Info, Kernel, State
from monge.samplers.tempering import ReplicaExchange
from monge.samplers.walk import Options

__all__ = [
    "PATHS",
    "Adjusted",
    "Chains",
    "DoubtfulChains",
    "EulerMaruyama",
    "Evolution",
    "ExponentialMultistep",
    "FiniteChain",
    "Gains",
    "Hamiltonian",
    "Heun",
    "Info",
    "Kernel",
    "Known",
    "LatticeMoves",
    "Linearisation",
    "Metropolis",
    "Options",
    "Past",
    "Proposal",
    "ReplicaExchange",
    "Solver",
    "State",
    "Step",
    "Trajectory",
    "Unadjusted",
    "annealed_langevin",
    "decode",
    "encode",
    "fokker_planck",
    "gibbs",
    "hmc",
    "levels",
    "log_prob",
    "mala",
    "metropolis_hastings",
    "pilot",
    "replica_exchange",
    "reverse_diffusion",
    "simulated_annealing",
    "ula",
    "wolff",
]
