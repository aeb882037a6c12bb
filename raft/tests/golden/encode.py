#!/usr/bin/env python3
"""Writes the golden files beside this script: the stored form of one example of every kind.

It encodes by the format's own rules (little endian, variable-length integers, positional structs, the variant's number
before its contents) and knows nothing of the program, so that the tests compare two implementations. A line that was
released is never changed: add lines for new variants at the end.
"""
import pathlib
import struct
import zlib

HERE = pathlib.Path(__file__).parent


def u(number):
    if number <= 250:
        return bytes([number])
    for marker, form, limit in ((251, "<H", 1 << 16), (252, "<I", 1 << 32), (253, "<Q", 1 << 64)):
        if number < limit:
            return bytes([marker]) + struct.pack(form, number)
    raise ValueError(number)


def i(number):
    return u(number * 2 if number >= 0 else -number * 2 - 1)


def text(value):
    raw = value.encode()
    return u(len(raw)) + raw


def octets(raw):
    return u(len(raw)) + raw


def flag(value):
    return bytes([1 if value else 0])


def option(value):
    return b"\0" if value is None else b"\1" + value


def many(parts):
    parts = list(parts)
    return u(len(parts)) + b"".join(parts)


def variant(number, *parts):
    return u(number) + b"".join(parts)


def envelope(kind, body):
    head = bytes([0x7E, 1, kind, 0])
    return head + struct.pack("<II", zlib.crc32(head + body), len(body)) + body


SEALED = u(1) + bytes(range(12)) + octets(bytes.fromhex("c0ffee"))
OWNER = text("useridresolver.PasswdIdResolver.IdResolver.staff") + text("1001")
HASHED_PIN = variant(1, u(2) + bytes([3] * 16) + bytes([4] * 32))
REVERSIBLE_PIN = variant(2, SEALED)

TOKEN = b"".join([
    variant(1),                                   # totp
    option(SEALED),                               # seed
    HASHED_PIN,
    option(SEALED),                               # device PIN
    option(OWNER),
    many([text("corp"), text("lab")]),            # realms
    text("my token"),
    u(6), u(10), u(1000), u(10),                  # digits, windows, fail_count_max
    flag(True),
    u(1_795_293_000_000),                         # created_at
    many([text("a") + variant(0, text("x")), text("b") + variant(1, i(-5)), text("c") + variant(2, text("[1]"))]),
])
BARE_TOKEN = b"".join([
    variant(0), option(None), variant(0), option(None), option(None), many([]), text(""),
    u(8), u(0), u(0), u(0), flag(False), u(0), many([]),
])
USAGE = b"".join([
    u(70_000), u(3), i(-90),
    option(u(5) + option(u(1_795_293_300))),      # auto_resync
    option(u(251)), option(None),                 # counters
    option(u(1_795_293_000_001)), option(None),   # dates
    many([text("k") + variant(0, text("v"))]),
])
CHALLENGE = b"".join([
    text("HOTP1"), text("enter"), text("{}"), u(1), u(120_001), flag(True), option(flag(False)), u(2), flag(True),
    flag(False),
])
RESOLVER = b"".join([
    variant(0),
    many([text("fileName") + variant(0, text("/etc/tessera/users")), text("pw") + variant(1, SEALED)]),
    flag(False),
])
NODES = u(4) + many([
    u(1) + variant(2, bytes([5] * 16), text("otp1:7580"), text("https://otp1"), u(1_795_293_000_000), option(None),
                   flag(True)),
    u(2) + variant(0),
    u(3) + variant(3, u(1_795_293_000_001)),
    u(4) + variant(1, bytes([6] * 32), u(1_795_296_600_000), option(u(3))),
])
ANCHOR = u(300) + bytes([9] * 32) + u(1_795_293_000_000)
PIN_HASH = u(2) + bytes([3] * 16) + bytes([4] * 32)
CHALLENGE_ATTRIBUTES = {"text": variant(0, text("x")), "code": variant(1, text("y"))}
CHALLENGED = b"".join([
    text("77.01"), text("Please enter"), text("HOTP1"), variant(0), text("my token"),
    many([text("a") + CHALLENGE_ATTRIBUTES["text"], text("b") + CHALLENGE_ATTRIBUTES["code"]]),
])
REPLY = b"".join([
    PIN_HASH, u(1_795_293_060_000), flag(True), option(many([text("pin_length") + u(4), text("otp_length") + u(6)])),
    option(text("77")), many([CHALLENGED]), option(text('{"Failure":"x"}')),
])
REFUSAL = PIN_HASH + u(5) + flag(False) + option(None) + option(None) + many([]) + option(None)
POLICY = b"".join([
    text("True"), text("authentication"), text("otppin=1"), text("corp"), text("alice,"), text("10.0.0.0/8"),
    text("* * * * * *;"),
])
AUDIT = b"".join([
    u(1_795_293_000_000), text("validate/check"), flag(True), text("HOTP1"), text("hmac"), text("alice"), text("corp"),
    text("'admin@linotp_admins (LinOTP_local_admins)'"), text("wrong otp value"), text("info"), text("node-1"),
    text("192.0.2.7"), text("0f8fad5bd9cb469f"),
])
RECORD_DEPENDENCY = variant(0, variant(1, text("HOTP1")))
INDEX_DEPENDENCY = variant(1, variant(0))
TXN = b"".join([
    u(1_795_293_000_000),
    many([RECORD_DEPENDENCY + u(7), INDEX_DEPENDENCY + u(0)]),
    many([variant(1, text("HOTP1")) + option(variant(1, USAGE)), variant(2, text("77.01")) + option(None)]),
    many([variant(0, AUDIT)]),
])
COMMITTED = variant(0, u(9))
CONFLICT = variant(1, RECORD_DEPENDENCY, u(8))
COMMANDS = {
    "txn": variant(0, u(3), u(900), u(899), TXN),
    "open_session": variant(1, u(2), bytes([7] * 16)),
    "expire_sessions": variant(2, u(1_795_293_000_000)),
    "checkpoint": variant(3),
}
LOG_ID = u(2) + u(1) + u(300)

FILES = {
    "key": {
        "token": variant(0, text("HOTP1")),
        "usage": variant(1, text("HOTP1")),
        "challenge": variant(2, text("77.01")),
        "realm": variant(3, text("corp")),
        "resolver": variant(4, text("staff")),
        "setting": variant(5, text("DefaultRealm")),
        "admin": variant(6, text("admin")),
        "revocation": variant(7, text("jti")),
        "cluster_secret": variant(8, text("jwt")),
        "reply": variant(9, text("5f0c")),
        "history_anchor": variant(10),
        "format_level": variant(11),
        "nodes": variant(12),
        "policy": variant(13, text("otp_pin")),
    },
    "record": {
        "token": variant(0, TOKEN),
        "bare_token": variant(0, BARE_TOKEN),
        "usage": variant(1, USAGE),
        "challenge": variant(2, CHALLENGE),
        "realm": variant(3, many([text("r.one"), text("r.two")])),
        "resolver": variant(4, RESOLVER),
        "setting": variant(5, variant(0, text("corp")) + text("text") + text("default")),
        "secret_setting": variant(5, variant(1, SEALED) + text("password") + text("")),
        "admin": variant(6, SEALED),
        "revocation": variant(7, u(1_795_293_000_000)),
        "cluster_secret": variant(8, SEALED),
        "reply": variant(9, REPLY),
        "refusal": variant(9, REFUSAL),
        "history_anchor": variant(10, ANCHOR),
        "format_level": variant(11, u(2)),
        "nodes": variant(12, NODES),
        "policy": variant(13, POLICY),
    },
    "index_key": {
        "configuration": variant(0),
        "tokens_of_owner": variant(1, OWNER),
        "tokens_in_realm": variant(2, text("corp")),
        "tokens_of_type": variant(3, variant(1)),
        "challenges_of_token": variant(4, text("HOTP1")),
        "challenges_of_transaction": variant(5, text("77")),
        "admins": variant(6),
    },
    "token_type": {
        name: variant(number)
        for number, name in enumerate(
            ["hmac", "totp", "pw", "spass", "motp", "dpw", "yubikey", "ocra2", "forward", "yubico"])
    },
    "challenge_attribute": CHALLENGE_ATTRIBUTES,
    "pin": {"unset": variant(0), "hashed": HASHED_PIN, "reversible": REVERSIBLE_PIN},
    "info_value": {
        "text": variant(0, text("x")), "integer": variant(1, i(-5)), "json": variant(2, text("[1]")),
    },
    "resolver_kind": {"passwd": variant(0), "ldap": variant(1), "sql": variant(2)},
    "parameter": {"plain": variant(0, text("x")), "secret": variant(1, SEALED)},
    "setting_value": {"plain": variant(0, text("x")), "secret": variant(1, SEALED)},
    "dependency": {"record": RECORD_DEPENDENCY, "index": INDEX_DEPENDENCY},
    "history_row": {"audit": variant(0, AUDIT)},
    "txn": {"full": TXN, "empty": u(0) + many([]) + many([]) + many([])},
    "outcome": {
        "committed": COMMITTED, "conflict": CONFLICT, "duplicate": variant(2, COMMITTED), "unknown_session": variant(3),
    },
    "command": COMMANDS,
    "command_reply": {
        "txn": variant(0, CONFLICT), "session": variant(1, u(4)), "done": variant(2), "checkpoint": variant(3, u(300)),
    },
    "batch": {
        "all": envelope(1, u(1_795_293_000_000) + many(octets(command) for command in COMMANDS.values())),
    },
    "snapshot_header": {
        "full": b"".join([
            b"\xfe" + (0x0F8FAD5BD9CB469FA16570867728950E).to_bytes(16, "little"),
            option(LOG_ID), option(None),
            many([many([u(1), u(2)])]), many([u(1) + text("a:1") + text("http://a")]),
            u(1), many([bytes([1]) + u(1), bytes([2]) + u(1000)]),
        ]),
    },
}

for name, lines in FILES.items():
    (HERE / f"{name}.hex").write_text("".join(f"{example} {raw.hex()}\n" for example, raw in lines.items()))
