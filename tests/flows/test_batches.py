from hypothesis import given
from hypothesis import strategies as st

from flows.batches import BATCH_BYTES, BATCHES, plan_batches

MIB = 1024 * 1024
windows = st.integers(0, 300_000)
window_bytes = st.integers(1, 1024 * MIB)
lanes = st.integers(1, 33)


@given(windows, window_bytes, lanes)
def test_every_window_is_in_exactly_one_batch_in_order(count: int, size: int, lanes: int) -> None:
    batches = plan_batches(count, size, lanes)
    ends = [0, *(batch.end for batch in batches)]
    assert [batch.first for batch in batches] == ends[:-1]
    assert ends[-1] == count
    assert all(batch.first < batch.end for batch in batches)


@given(windows, window_bytes, lanes)
def test_the_number_of_batches_does_not_grow_with_the_recording(count: int, size: int, lanes: int) -> None:
    assert len(plan_batches(count, size, lanes)) <= BATCHES + 8 * lanes


@given(windows, window_bytes, lanes)
def test_a_batch_is_worth_a_task_run_and_only_shrinks_towards_the_end(count: int, size: int, lanes: int) -> None:
    batches = plan_batches(count, size, lanes)
    sizes = [batch.end - batch.first for batch in batches]
    assert sizes == sorted(sizes, reverse=True)
    assert all(windows * size >= BATCH_BYTES / 8 for windows in sizes[:-1])
    if count * size >= 2 * lanes * (BATCH_BYTES + size):
        assert sizes[0] * size >= BATCH_BYTES


def test_lanes_end_at_nearly_the_same_time() -> None:
    lanes, count = 3, 64  # 8 GiB in windows of 128 MiB
    busy = [0] * lanes
    for batch in plan_batches(count, 128 * MIB, lanes):
        busy[busy.index(min(busy))] += batch.end - batch.first
    assert max(busy) - min(busy) <= 1
