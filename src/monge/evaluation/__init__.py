"""Is p_G = p? Statistics on arrays from any generator, and the verdict made of them."""

from monge.evaluation.auditing import NEEDED, audit
from monge.evaluation.decision import Finding, holm, judge
from monge.evaluation.likelihood import likelihood_lines
from monge.evaluation.lines import Margins
from monge.evaluation.statistics.cells import CellsTest, cell_centres, cells_test
from monge.evaluation.statistics.classifier import TwoSampleAccuracy, classifier_two_sample
from monge.evaluation.statistics.energy import EnergyTest, energy_distance, energy_test
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
from monge.evaluation.statistics.pairwise import Neighbours, nearest, squared_distances
from monge.evaluation.statistics.sliced import SlicedTest, directions, sliced_floor, sliced_test, sliced_wasserstein
from monge.evaluation.verdict import Evidence, Line, Verdict

__all__ = [
    "NEEDED",
    "CellsTest",
    "Closeness",
    "Coverage",
    "EnergyTest",
    "Evidence",
    "Finding",
    "Line",
    "Margins",
    "Neighbours",
    "SlicedTest",
    "TwoSampleAccuracy",
    "Verdict",
    "Visits",
    "audit",
    "ball_radii",
    "cell_centres",
    "cells_test",
    "classifier_two_sample",
    "closer_to_training",
    "coverage",
    "coverage_of_one_law",
    "directions",
    "energy_distance",
    "energy_test",
    "expected_coverage",
    "holm",
    "judge",
    "likelihood_lines",
    "near_copies",
    "nearest",
    "precision",
    "sliced_floor",
    "sliced_test",
    "sliced_wasserstein",
    "squared_distances",
    "visits",
]
