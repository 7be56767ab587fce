"""Is p_G = p? Statistics on arrays from any generator, and the verdict made of them."""

from monge.evaluation.across import Across, across
from monge.evaluation.auditing import NEEDED, ROWS, audit
from monge.evaluation.calibration import Calibration, calibration
from monge.evaluation.certificate import Certificate, certificate
from monge.evaluation.decision import Finding, holm, judge
from monge.evaluation.defects import CONCERNS, DEFECTS, Margins
from monge.evaluation.descriptors import DESCRIPTORS, Descriptor, Fitted, describe
from monge.evaluation.distance import (
    Distance,
    Energy,
    Metric,
    SinkhornDivergence,
    Sliced,
    Wasserstein,
    distance,
    interval_of,
)
from monge.evaluation.identities import IDENTITIES
from monge.evaluation.jacobian import Jacobian, Slope, jacobian, minimax_slope, overlap
from monge.evaluation.line import LEVEL, POWER, Line
from monge.evaluation.lines import LINES, MeanLine, Measured, OneLine, likelihood_lines
from monge.evaluation.outcomes import Outcome
from monge.evaluation.plan import Need, Plan, plan
from monge.evaluation.restoration import psnr, ssim
from monge.evaluation.statistics.cells import cell_centres
from monge.evaluation.statistics.classifier import TwoSampleAccuracy, classifier_two_sample
from monge.evaluation.statistics.energy import EnergyTest, energy_distance, energy_test
from monge.evaluation.statistics.frechet import frechet_distance
from monge.evaluation.statistics.means import MeansTest, Relabellings, means_test
from monge.evaluation.statistics.memorisation import Closeness, closer_to_training, near_copies
from monge.evaluation.statistics.neighbours import (
    Coverage,
    Visits,
    ball_radii,
    coverage,
    coverage_of_one_law,
    expected_coverage,
    precision,
    visits,
)
from monge.evaluation.statistics.sliced import SlicedTest, sliced_floor, sliced_test
from monge.evaluation.transition import Curve, Transition, Turn, transition
from monge.evaluation.twins import Alike, Twins, distinct, twins
from monge.evaluation.verdict import SECTIONS, Evidence, Sight, Verdict
from monge.linalg.pairwise import Neighbours, nearest, squared_distances
from monge.ot import directions, sliced_wasserstein

__all__ = [
    "CONCERNS",
    "DEFECTS",
    "DESCRIPTORS",
    "IDENTITIES",
    "LEVEL",
    "LINES",
    "NEEDED",
    "POWER",
    "ROWS",
    "SECTIONS",
    "Across",
    "Alike",
    "Calibration",
    "Certificate",
    "Closeness",
    "Coverage",
    "Curve",
    "Descriptor",
    "Distance",
    "Energy",
    "EnergyTest",
    "Evidence",
    "Finding",
    "Fitted",
    "Jacobian",
    "Line",
    "Margins",
    "MeanLine",
    "MeansTest",
    "Measured",
    "Metric",
    "Need",
    "Neighbours",
    "OneLine",
    "Outcome",
    "Plan",
    "Relabellings",
    "Sight",
    "SinkhornDivergence",
    "Sliced",
    "SlicedTest",
    "Slope",
    "Transition",
    "Turn",
    "Twins",
    "TwoSampleAccuracy",
    "Verdict",
    "Visits",
    "Wasserstein",
    "across",
    "audit",
    "ball_radii",
    "calibration",
    "cell_centres",
    "certificate",
    "classifier_two_sample",
    "closer_to_training",
    "coverage",
    "coverage_of_one_law",
    "describe",
    "directions",
    "distance",
    "distinct",
    "energy_distance",
    "energy_test",
    "expected_coverage",
    "frechet_distance",
    "holm",
    "interval_of",
    "jacobian",
    "judge",
    "likelihood_lines",
    "means_test",
    "minimax_slope",
    "near_copies",
    "nearest",
    "overlap",
    "plan",
    "precision",
    "psnr",
    "sliced_floor",
    "sliced_test",
    "sliced_wasserstein",
    "squared_distances",
    "ssim",
    "transition",
    "twins",
    "visits",
]
