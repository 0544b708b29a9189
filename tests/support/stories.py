"""What a crash may interrupt: the ways a transaction can go, each with its old and its new generation."""

from support import memdpkg
from support.crashmodel import Story
from support.transact import World, a_device_at, a_generation, digest, next_deployment, order

from edgeform_device import decide
from edgeform_device.activate import rollback
from edgeform_device.records import Committed
from edgeform_device.transaction import transact

NONCE = "nonce-0123456789"


def installed(make_disk, disk_setup=None):
    return a_device_at(a_generation(model=1), world=World(disk=make_disk()))


def empty(make_disk):
    world = World(disk=make_disk())
    world.disk.settle()
    return world


def activated(world, model=2, **policy):
    transact(world.env, order(world, next_deployment(world, a_generation(model=model), **policy)))


def turned_back(world):
    world.checks.bad_live.add(digest(2))
    activated(world)


def failed_beside(world):
    world.checks.bad_models.add(digest(2))
    activated(world)


def started_anew(world):
    world.models.room = 0
    activated(world)


def started_anew_and_turned_back(world):
    world.models.room = 0
    turned_back(world)


def confirmed(world):
    def act():
        txn = world.state.txn()
        if txn is not None and decide.has_passed_checks(world.env, txn.id):
            decide.confirm(world.env, txn.id, txn.nonce)

    world.clock.on_sleep.append(act)
    activated(world, confirm="both")


def rebooted_into(world):
    activated(world, reboot_required=True, boots=2, deadline_s=2.0)


def drivers_first(world):
    activated(world, drivers=memdpkg.driver_set())


def drivers_that_do_not_verify(world):
    activated(world, drivers=memdpkg.driver_set(memdpkg.FAILS))


def two_generations(make_disk):
    world = installed(make_disk)
    content = a_generation(model=2)
    a_device_at(content, 2, world)
    world.state.write_committed(Committed(2, content.digest, 2, "t0-earlier", (1,)))
    world.disk.settle()
    return world


def went_back(world):
    rollback(world.env, None, "tester", NONCE)
    transact(world.env, world.state.order())


STORIES = {
    "commit": Story(installed, activated, 1, 2),
    "turned back": Story(installed, turned_back, 1, 2),
    "commit without room for two models": Story(installed, started_anew, 1, 2),
    "turned back without room": Story(installed, started_anew_and_turned_back, 1, 2),
    "failed beside the live one": Story(installed, failed_beside, 1, 2),
    "confirmed from outside": Story(installed, confirmed, 1, 2),
    "first install": Story(empty, activated, None, 1, has_link=False),
    "first install turned back": Story(empty, turned_back, None, 1, has_link=False),
    "needs a reboot": Story(installed, rebooted_into, 1, 2),
    "drivers first": Story(installed, drivers_first, 1, 2),
    "drivers that do not verify": Story(installed, drivers_that_do_not_verify, 1, 2),
    "back to a kept generation": Story(two_generations, went_back, 2, 1),
}
