from hypothesis import given
from hypothesis import strategies as st

from flows.batches import BATCH_BYTES, BATCHES, plan_batches

MIB = 1024 * 1024
windows = st.integers(0, 300_000)
window_bytes = st.integers(1, 1024 * MIB)


@given(windows, window_bytes)
def test_every_window_is_in_exactly_one_batch_in_order(count: int, size: int) -> None:
    batches = plan_batches(count, size)
    ends = [0, *(batch.end for batch in batches)]
    assert [batch.first for batch in batches] == ends[:-1]
    assert ends[-1] == count
    assert all(batch.first < batch.end for batch in batches)


@given(windows, window_bytes)
def test_the_number_of_batches_does_not_grow_with_the_recording(count: int, size: int) -> None:
    assert len(plan_batches(count, size)) <= BATCHES


@given(windows, window_bytes)
def test_each_batch_but_the_last_is_worth_a_task_run(count: int, size: int) -> None:
    assert all((batch.end - batch.first) * size >= BATCH_BYTES for batch in plan_batches(count, size)[:-1])


def test_a_terabyte_is_cut_into_a_few_dozen_batches() -> None:
    assert len(plan_batches(7451, 128 * MIB)) == 59
