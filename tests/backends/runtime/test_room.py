from flopwise.backends.runtime.jobs import Job, Warm
from flopwise.backends.runtime.radix import RadixTree
from flopwise.backends.runtime.room import Room


def job(tokens, cached=0):
    return Job(bytes(4 * tokens), cached=cached)


def test_a_job_takes_what_was_not_held():
    room = Room(RadixTree(capacity=100))
    first, second = job(80, cached=20), job(50, cached=10)
    room.enter(first)
    assert (room.taken, room.admits(second)) == (60, True)
    room.enter(second)
    assert (room.taken, room.admits(job(1))) == (100, False)
    room.leave(first)
    room.leave(second)
    assert room.taken == 0


def test_a_prefix_takes_its_room_until_its_last_dependent_is_over():
    room = Room(RadixTree(capacity=100))
    outer, inner = Warm(bytes(40)), Warm(bytes(80), cached=10)
    tails = [job(21, cached=20) for _ in range(2)]
    for warm, dependents in ((outer, [inner]), (inner, tails)):
        room.enter(warm)
        room.rely(warm, dependents)
        room.leave(warm)
    for tail in tails:
        room.enter(tail)
    assert room.taken == 10 + 10 + 2
    room.leave(tails[0])
    assert room.taken == 10 + 10 + 1
    room.leave(tails[1])
    assert room.taken == 0, "the outer prefix goes with the inner one"


def test_a_prefix_computed_again_takes_the_place_of_the_first():
    room = Room(RadixTree(capacity=100))
    tail = job(21)
    for warm in (Warm(bytes(80)), Warm(bytes(80))):
        room.enter(warm)
        room.rely(warm, [tail])
        room.leave(warm)
    assert room.taken == 20
    room.leave(tail)
    assert room.taken == 0


def test_backs_off_once_a_round_trip_down_to_a_quarter_and_recovers_slowly():
    tree = RadixTree(capacity=2560)
    room = Room(tree)
    for _ in range(3):
        room.lost(tree.now)
    assert room.capacity == 1920, "who was sent before the step back tells nothing new"
    for i in range(9):
        tree.insert((i,))
        room.lost(tree.now)
    assert room.capacity == 640
    for _ in range(100):
        room.kept()
    assert room.capacity == 640 + 100 * 10
    for _ in range(100):
        room.kept()
    assert room.capacity == 2560
