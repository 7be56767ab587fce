"""Every bench runs in its fast form, without the peers."""

from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture
def run(run_script, capsys):
    def rows(name, *arguments):
        run_script(BENCH / f"{name}.py", "--fast", *arguments)
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith(("|", "mixture"))]

    return rows


def test_flows(run):
    rows = run("flows", "--seconds", "1", "--only", "banana", "--methods", "monge SplineFlow")
    assert len(rows) == 1
    assert 0 < float(rows[0].split("|")[3].split()[1]) < 0.5


def test_mcmc(run):
    rows = run("mcmc", "--methods", "monge wolff")
    assert len(rows) == 1
    assert float(rows[0].split("|")[4].split()[0]) > 100


def test_sampler_error(run):
    rows = run("sampler_error", "--methods", "monge")
    errors = {tuple(row.split("|")[i].strip() for i in (1, 2, 3)): row.split("|")[4].split() for row in rows}
    assert float(errors["ring", "monge", "10"][1]) < 1e-3  # energy distance; exact samples have 2e-4
    assert float(errors["field", "monge", "5"][1]) < 0.1


def test_transport(run):
    rows = run("transport", "--methods", "monge")[2:]
    assert [row.split("|")[1].strip() for row in rows] == ["exact", "sinkhorn 0.05", "sliced"]
    assert float(rows[0].split("gap")[1].split()[0]) < 1e-8


def test_audit_null(run):
    rows = {row.split("|")[1].strip(): row.split("|")[2:] for row in run("audit_null", "--workers", "1")[2:]}
    assert set(rows) == {"normal", "Bernoulli", "all"}
    assert int(rows["all"][1]) <= int(rows["all"][2])


def test_audit_power(run):
    rows = run("audit_power")[2:]
    verdicts = {row.split("|")[3].strip(" *"): row.split("|")[4].split() for row in rows}
    assert verdicts["all copies"][-1] == verdicts["Gaussian, right spectrum"][-1] == "1"  # fail


def test_laptop(run):
    (row,) = run("laptop")
    errors = [float(part.rstrip("%")) for part in row.split("): ")[1].split()]
    assert len(errors) == 4
    assert all(-5 < error < 100 for error in errors)


def test_gan(run):
    rows = run("gan")[2:]
    assert [row.split("|")[1].strip() for row in rows] == ["ring", "digits"]
    assert all(float(row.split("|")[5]) > 0.2 for row in rows)


def test_denoise(run):
    rows = {row.split("|")[1].strip(): row.split("|")[2:-1] for row in run("denoise", "--only", "fields,photographs")}
    assert float(rows["Wiener on fields of 16 x 16"][0].split()[0]) < 1e-5
    found = [float(value) for value in rows["monge wavelets"][:3]]
    assert all(value > 2 + float(none) for value, none in zip(found, rows["none"], strict=False))


def test_busy(run):
    rows = run("busy")[2:]
    assert [row.split("|")[1].strip() for row in rows] == ["training", "sampling", "chains"]
    assert all(float(row.split("|")[4]) > 0 for row in rows)


def test_learning(run):
    head, _, *rows = (line.split("|")[1:-1] for line in run("learning"))
    found = {(row[0].strip(), row[1].strip()): [float(v.split()[0]) for v in row[2:]] for row in rows}
    assert [name.strip() for name in head[2:]] == ["1", "2-4", "5-8", "9-16", "17-32", "33-64"]
    assert set(found) == {(level, what) for level in ("4", "0.5") for what in ("train", "held", "carried")} | {
        ("0", "drawn")
    }
    assert all(0.3 < value < 1.7 for value in found["0", "drawn"])
    assert all(abs(value) < 0.2 for value in found["0.5", "held"])


def test_tables(run):
    (row,) = run("tables")[2:]
    assert [cell.strip() for cell in row.split("|")[1:3]] == ["mixed", "monge"]
    assert row.split("|")[6].strip().startswith(("fail", "undecided", "pass"))


def test_continuous(run):
    rows = run("continuous", "--only", "exact,planar", "--methods", "FlowMatching")
    told = {row.split("|")[2].strip(): row.split("|")[3] for row in rows}
    assert float(told["log_prob of a linear field"].split()[0]) < 1e-5
    assert float(told["gradients, direct and adjoint"].split()[0]) < 1e-4
    assert "FlowMatching" in told["rings"]


def test_generalisation(run):
    rows = [line.split("|")[1:-1] for line in run("generalisation", "--only", "certificate,identities")]
    split = [row for row in rows if row[0].strip().startswith("certificate")]
    assert len(split) == 5
    assert all("2 of 2 seeds" in row[1] for row in split)
    (nats,) = (row for row in rows if row[0].strip().startswith("nats"))
    assert float(nats[2].split()[-1]) > 0.99
    found = {row[0].strip(): row[1:] for row in rows if row[0].strip().startswith("identities: ")}
    assert found["identities: scaled by .97"][0].strip().startswith("100%")


def test_posterior(run):
    rows = [line.split("|")[1:-1] for line in run("posterior", "--only", "grid,calibration", "--methods", "particles")]
    (grid, calibration) = rows
    error, exact = float(grid[3].split()[0]), float(grid[3].split("draws")[1].split(")")[0])
    assert error < 3 * exact + 0.2
    assert float(grid[3].split("up to")[1].split()[0]) < 4
    assert calibration[3].split(":")[0].strip() in ("pass", "undecided")
