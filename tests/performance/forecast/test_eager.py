"""Table 4 explained: the errors of what was left out, and where the model ends."""

from __future__ import annotations

import pytest

from amfac_edge.declared.target import load_target
from amfac_edge.errors import InputError
from amfac_edge.performance.forecast.eager import EagerCell, EagerFit, device_fit, eager_cells, forecast_eager, speed_of
from amfac_edge.performance.forecast.leave_out import board_errors, variant_errors
from amfac_edge.performance.forecast.recorded import RecordedEager


def test_a_variant_that_was_left_out_is_forecast_within_a_twentieth_on_every_device() -> None:
    table = variant_errors()
    assert len(table.rows) == 20
    assert len(table.groups()) == 5
    assert table.met
    assert max(table.groups().values()) <= 0.05


def test_a_jetson_that_was_left_out_is_forecast_by_clock_and_bandwidth_together() -> None:
    assert max(board_errors().groups().values()) <= 0.08
    # Bandwidth alone can't tell two boards that share it.
    assert max(board_errors(1.0).groups().values()) > 0.08
    assert not board_errors(1.0).met


def test_a_fit_finds_the_coefficients_that_made_its_cells() -> None:
    made = EagerFit(2.0, 10.0, 3.0)
    costs = [
        RecordedEager(count, size, 1, 1)
        for count, size in ((500, 2 * 10**9), (500, 10**9), (300, 10**9), (300, 5 * 10**8))
    ]
    cells = [EagerCell("r", "rtx-4090", made.ms(cost), cost) for cost in costs]
    found = device_fit(cells, "rtx")
    assert found.constant_ms == pytest.approx(2.0)
    assert found.operator_us == pytest.approx(10.0)
    assert found.gigabyte_ms == pytest.approx(3.0)


def test_no_coefficient_is_below_zero() -> None:
    costs = [RecordedEager(500, size, 1, 1) for size in (1_000_000_000, 2_000_000_000, 3_000_000_000)]
    # More bytes take less time here, which no machine does.
    cells = [EagerCell("r", "d", ms, cost) for ms, cost in zip((30.0, 20.0, 10.0), costs, strict=True)]
    fit = device_fit(cells, "jetson")
    assert min(fit.constant_ms, fit.operator_us, fit.gigabyte_ms) >= 0


@pytest.mark.parametrize("cell", eager_cells(), ids=lambda cell: f"{cell.recipe} {cell.device}")
def test_a_printed_cell_lies_within_its_forecast(cell: EagerCell) -> None:
    forecast = forecast_eager(cell.recipe, load_target(cell.device))
    assert forecast.low_ms <= cell.ms <= forecast.high_ms
    assert sum(forecast.binds.values()) == pytest.approx(1)
    assert "inference" in " ".join(forecast.basis)


def test_a_slow_clock_makes_a_slow_board_whatever_its_bandwidth() -> None:
    target = load_target("orin-nx-16")
    assert speed_of(target, "25W") < speed_of(target, "MAXN")
    full, held = (forecast_eager("amfacpose-r34-384x288", target, mode) for mode in ("MAXN", "25W"))
    assert held.mid_ms > 1.3 * full.mid_ms
    # Bandwidth alone would see no difference: the spread says so.
    assert held.low_ms < 1.1 * full.mid_ms < held.high_ms


def test_another_jetson_is_scaled_and_another_card_refused() -> None:
    assert "scaled" in forecast_eager("amfacpose-r18-256x256", load_target("agx-orin-64")).basis[0]
    with pytest.raises(InputError, match="thor"):
        forecast_eager("amfacpose-r18-256x256", load_target("thor"))
    with pytest.raises(InputError, match="Table 4 has no figure of it"):
        forecast_eager("amfacpose-r18-256x256", load_target("cpu"))
    with pytest.raises(InputError, match='"mine" costs'):
        forecast_eager("mine", load_target("orin-nano"))
