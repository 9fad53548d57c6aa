"""PIN, lockout, one-time codes, tokens, roles. Virtual time; the hash is the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import pyotp
import pytest

from evse.access.control import AccessControl
from evse.access.pin import FREE_TRIES, LOCK_MAX_S, WAITING_MAX, PinGuard, lock_for
from evse.access.ports import NAMESPACE, AccessError, Denial
from evse.access.roles import Role, RolePolicy
from evse.access.tokens import TOKENS_MAX, Tokens
from evse.access.totp import Totp
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.units import NS_PER_S
from tests._support.api_world import MemoryVault

T = TypeVar("T")
OWN = 900
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


class Settings:
    """A durable store: lives longer than the guards on it."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], str] = {}
        self.puts = 0

    async def get(self, namespace: str, key: str) -> str | None:
        return self.values.get((namespace, key))

    async def put(self, namespace: str, key: str, value: str | None) -> None:
        self.puts += 1
        if value is None:
            self.values.pop((namespace, key), None)
        else:
            self.values[namespace, key] = value


class Inline:
    """Runs the hash in the caller; ``before`` is awaited first (to hold a check open)."""

    def __init__(self) -> None:
        self.jobs = 0
        self.before: Callable[[], Awaitable[None]] | None = None

    async def run(self, job: Callable[[], T]) -> T:
        self.jobs += 1
        if self.before is not None:
            await self.before()
        return job()


class FakeAccounts:
    def name(self, uid: int) -> str:
        return f"user{uid}"

    def groups(self, uid: int, gid: int) -> frozenset[str]:
        return {1001: frozenset({"ops"}), 1002: frozenset({"maker", "ops"})}.get(uid, frozenset({"users"}))


class World:
    """A daemon that can be restarted: settings and vault stay, everything else is made anew."""

    def __init__(self, clock: VirtualClock, secret: str = "") -> None:
        self.clock = clock
        self.settings = Settings()
        self.vault = MemoryVault()
        if secret:
            self.vault.values["totp.secret"] = secret
            self.settings.values[NAMESPACE, "totp.enrolled"] = "1"
        self.restart()

    def restart(self) -> None:
        self.runner = Inline()
        self.pin = PinGuard(self.settings, self.runner, self.clock)
        self.tokens = Tokens(self.clock)
        self.totp = Totp(self.vault, self.settings, self.clock, lambda: "DC-0001")
        self.access = AccessControl(
            policy=RolePolicy(OWN, lambda: ("ops", "maker"), FakeAccounts()),
            pin=self.pin,
            tokens=self.tokens,
            clock=self.clock,
            token_minutes=lambda: 30,
            totp=self.totp,
        )

    def code(self, secret: str = SECRET, off_s: int = 0) -> str:
        """What the authenticator app shows now."""
        return pyotp.TOTP(secret).at(self.clock.wall() // NS_PER_S + off_s)


def run(main: Callable[[World], Coroutine[Any, Any, None]], secret: str = "") -> None:
    loop = VirtualLoop()

    async def inside() -> None:
        await main(World(VirtualClock(loop), secret))

    run_virtual(inside(), loop)


async def denied(awaitable: Awaitable[object]) -> Denial:
    with pytest.raises(AccessError) as caught:
        await awaitable
    assert caught.value.message
    assert caught.value.hint
    return caught.value.why


def test_lock_grows_and_has_an_end() -> None:
    seconds = [lock_for(n) // NS_PER_S for n in range(12)]
    assert seconds[: FREE_TRIES + 1] == [0] * (FREE_TRIES + 1)
    assert seconds[FREE_TRIES + 1 : FREE_TRIES + 4] == [30, 60, 120]
    assert seconds == sorted(seconds)
    assert lock_for(10_000) == LOCK_MAX_S * NS_PER_S


def test_there_is_no_pin_at_first_and_only_an_owner_sets_one() -> None:
    async def main(w: World) -> None:
        assert not await w.access.pin_set()
        for pin in ("", "0000", "1234"):
            assert await denied(w.access.sign_in(1000, pin)) is Denial.NO_PIN
        for uid in (1000, 1001, 1002, None):
            assert await denied(w.access.set_pin(uid, "", "4711")) is Denial.NOT_OWNER
        await w.access.set_pin(OWN, "", "4711")
        assert (await w.access.sign_in(1000, "4711")).role is Role.OPERATOR

    run(main)


@pytest.mark.parametrize("pin", ["", "123", "1" * 13, "12a4", "12 4", "-1234", "١٢٣٤", "12.4"])
def test_a_pin_is_4_to_12_ascii_digits(pin: str) -> None:
    async def main(w: World) -> None:
        assert await denied(w.access.set_pin(0, "", pin)) is Denial.BAD_PIN
        assert not await w.access.pin_set()

    run(main)


def test_the_pin_is_stored_as_argon2id_only() -> None:
    async def main(w: World) -> None:
        await w.access.set_pin(0, "", "93817264")
        stored = w.settings.values[NAMESPACE, "pin.hash"]
        assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert "93817264" not in "".join(w.settings.values.values())

    run(main)


def test_a_lockout_survives_a_restart_and_grows() -> None:
    async def main(w: World) -> None:
        await w.access.set_pin(0, "", "4711")
        for _ in range(FREE_TRIES + 1):
            assert await denied(w.access.sign_in(1000, "0000")) is Denial.WRONG
        hashed = w.runner.jobs
        assert await denied(w.access.sign_in(1000, "4711")) is Denial.LOCKED
        assert w.runner.jobs == hashed, "a locked PIN is not compared at all"
        w.restart()
        assert await denied(w.access.sign_in(1000, "4711")) is Denial.LOCKED
        assert await w.access.locked_until() == w.clock.wall() + 30 * NS_PER_S
        await asyncio.sleep(30)
        assert await w.access.locked_until() is None
        assert await denied(w.access.sign_in(1000, "0000")) is Denial.WRONG
        await asyncio.sleep(59)
        w.restart()
        assert await denied(w.access.sign_in(1000, "4711")) is Denial.LOCKED
        await asyncio.sleep(1)
        assert await w.access.sign_in(1000, "4711")
        assert await denied(w.access.sign_in(1000, "0000")) is Denial.WRONG
        assert await w.access.locked_until() is None, "a right PIN forgets the wrong ones"

    run(main)


def test_a_try_is_counted_before_it_is_compared() -> None:
    async def main(w: World) -> None:
        await w.access.set_pin(0, "", "4711")
        for _ in range(FREE_TRIES + 1):
            stop = asyncio.get_running_loop().create_future()
            w.runner.before = lambda stop=stop: stop
            task = asyncio.create_task(w.access.sign_in(1000, "0000"))
            await asyncio.sleep(0.1)
            task.cancel()  # the kill -9 of somebody who saw the answer coming
            await asyncio.gather(task, return_exceptions=True)
            w.restart()
        assert await denied(w.access.sign_in(1000, "4711")) is Denial.LOCKED

    run(main)


@pytest.mark.parametrize("jump_s", [-10 * 365 * 86_400, -3_600])
def test_a_clock_set_back_cannot_lock_for_longer_than_the_step(jump_s: int) -> None:
    async def main(w: World) -> None:
        await w.access.set_pin(0, "", "4711")
        for _ in range(FREE_TRIES + 1):
            await denied(w.access.sign_in(1000, "0000"))
        w.clock.jump_wall(w.clock.wall() + jump_s * NS_PER_S)
        w.restart()
        assert await denied(w.access.sign_in(1000, "4711")) is Denial.LOCKED
        await asyncio.sleep(30)
        assert await w.access.sign_in(1000, "4711")

    run(main)


def test_parallel_tries_are_one_after_the_other_and_few() -> None:
    async def main(w: World) -> None:
        await w.access.set_pin(0, "", "4711")
        tries = [asyncio.create_task(w.access.sign_in(1000, "0000")) for _ in range(40)]
        answers = await asyncio.gather(*tries, return_exceptions=True)
        whys = [a.why for a in answers if isinstance(a, AccessError)]
        assert len(whys) == 40
        assert whys.count(Denial.WRONG) == FREE_TRIES + 1 <= WAITING_MAX

    run(main)


def test_a_damaged_row_does_not_open_the_door() -> None:
    async def main(w: World) -> None:
        await w.access.set_pin(0, "", "4711")
        w.settings.values[NAMESPACE, "pin.tries"] = "{"
        w.settings.values[NAMESPACE, "pin.hash"] = "not a hash"
        w.restart()
        assert await denied(w.access.sign_in(1000, "4711")) is Denial.WRONG
        assert await denied(w.access.sign_in(1000, "4711")) is Denial.LOCKED

    run(main)


def test_changing_the_pin_needs_the_old_one_and_ends_all_raised_roles() -> None:
    async def main(w: World) -> None:
        await w.access.set_pin(0, "", "4711")
        issued = await w.access.sign_in(1000, "4711")
        assert w.access.identify(1000, 1000, issued.token).role is Role.OPERATOR
        assert await denied(w.access.set_pin(1000, "", "0815")) is Denial.WRONG
        assert await denied(w.access.set_pin(1000, "9999", "0815")) is Denial.WRONG
        await w.access.set_pin(1000, "4711", "0815")
        with pytest.raises(AccessError):
            w.access.identify(1000, 1000, issued.token)
        assert await denied(w.access.sign_in(1000, "4711")) is Denial.WRONG
        await w.access.set_pin(0, "", "5555")  # root, forgotten
        assert await w.access.sign_in(1000, "5555")

    run(main)


def test_roles_of_peers() -> None:
    async def main(w: World) -> None:
        roles = {uid: w.access.identify(uid, 5, "").role for uid in (0, OWN, 1000, 1001, 1002, None)}
        assert roles == {
            0: Role.OPERATOR,
            OWN: Role.OPERATOR,
            1000: Role.GUEST,
            1001: Role.OPERATOR,
            1002: Role.MANUFACTURER,
            None: Role.GUEST,
        }
        await w.access.set_pin(0, "", "4711")
        token = (await w.access.sign_in(1002, "4711")).token
        assert w.access.identify(1002, 5, token).role is Role.MANUFACTURER, "a PIN never lowers a role"

    run(main)


def test_a_group_without_a_name_gives_nobody_a_role() -> None:
    class Nameless(FakeAccounts):
        def groups(self, uid: int, gid: int) -> frozenset[str]:
            return frozenset({""})

    policy = RolePolicy(OWN, lambda: ("", ""), Nameless())
    assert policy.role(1000, 1000) is Role.GUEST


def test_tokens_end_and_belong_to_one_user() -> None:
    async def main(w: World) -> None:
        issued = w.tokens.issue(Role.OPERATOR, 1000, 60 * NS_PER_S)
        assert w.tokens.role(issued.token, 1000) is Role.OPERATOR
        assert w.tokens.role(issued.token, 1001) is None
        assert w.tokens.role("", 1000) is None
        await asyncio.sleep(59.9)
        assert w.tokens.role(issued.token, 1000) is Role.OPERATOR
        await asyncio.sleep(0.1)
        assert w.tokens.role(issued.token, 1000) is None
        again = w.tokens.issue(Role.OPERATOR, 1000, 60 * NS_PER_S)
        assert w.access.sign_out(again.token)
        assert not w.access.sign_out(again.token)

    run(main)


def test_tokens_are_bounded() -> None:
    async def main(w: World) -> None:
        first = w.tokens.issue(Role.OPERATOR, 1, 60 * NS_PER_S)
        others = [w.tokens.issue(Role.OPERATOR, 1, 61 * NS_PER_S) for _ in range(TOKENS_MAX)]
        assert len(w.tokens) == TOKENS_MAX
        assert w.tokens.role(first.token, 1) is None
        assert len({row.token for row in others}) == TOKENS_MAX
        assert all(len(row.token) >= 43 for row in others)

    run(main)


def test_a_code_works_once_even_over_a_restart() -> None:
    async def main(w: World) -> None:
        await w.access.set_pin(0, "", "4711")
        code = w.code()
        assert await w.access.sign_in(1000, "4711", code)
        assert await denied(w.access.sign_in(1000, "4711", code)) is Denial.WRONG
        w.restart()
        assert await denied(w.access.sign_in(1000, "4711", code)) is Denial.WRONG
        await asyncio.sleep(60)
        assert await w.access.sign_in(1000, "4711", w.code())

    run(main, SECRET)


@pytest.mark.parametrize(("off_s", "fits"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)])
def test_codes_of_the_neighbouring_step_fit(off_s: int, fits: bool) -> None:
    async def main(w: World) -> None:
        assert await w.totp.verify(w.code(off_s=off_s)) is fits

    run(main, SECRET)


def test_rfc_6238_vector() -> None:
    async def main(w: World) -> None:
        w.clock.jump_wall(1_111_111_109 * NS_PER_S)
        assert await w.totp.verify("081804")  # last six digits of 07081804, RFC 6238 appendix B

    run(main, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
