"""The table of ports, and its rendering for nftables."""

from __future__ import annotations

import re

import pytest

from infra.firewall import (
    Policy,
    Source,
    digest,
    nftables_ruleset,
    openings,
    security_group_rules,
)

POLICY = Policy(
    operator_cidrs=("198.51.100.7/32",),
    client_cidrs=("0.0.0.0/0",),
    image_pusher_cidrs=("10.213.0.1/32",),
)
MEMBERS = ("10.213.0.11", "10.213.0.111")


def test_table_is_that_of_the_documentation() -> None:
    rows = {(row.port, row.protocol, row.source) for row in openings(POLICY)}
    assert rows == {
        (22, "tcp", Source.OPERATOR),
        (2377, "tcp", Source.MEMBERS),
        (7946, "tcp", Source.MEMBERS),
        (7946, "udp", Source.MEMBERS),
        (4789, "udp", Source.MEMBERS),
        (5000, "tcp", Source.MEMBERS),
        (5000, "tcp", Source.IMAGE_PUSHERS),
        (8080, "tcp", Source.CLIENTS),
        (5555, "tcp", Source.CLIENTS),
    }


def test_vxlan_is_opened_as_udp_only() -> None:
    """As TCP the rule looks right and no overlay traffic passes (moby#25836)."""
    assert [row.protocol for row in openings(POLICY) if row.port == 4789] == ["udp"]


def test_encrypted_overlays_open_esp_between_members() -> None:
    policy = Policy(operator_cidrs=(), client_cidrs=(), encrypted_overlay=True)
    esp = [row for row in openings(policy) if row.protocol == "esp"]
    assert [(row.port, row.source) for row in esp] == [(None, Source.MEMBERS)]
    ruleset = nftables_ruleset(policy, MEMBERS)
    assert "meta l4proto esp ip saddr @members ct original ip daddr @members accept" in ruleset
    assert "meta l4proto esp ct original ip daddr @members drop" in ruleset


def test_every_row_is_rendered_once_with_its_reason() -> None:
    ruleset = nftables_ruleset(POLICY, MEMBERS)
    for row in openings(POLICY):
        target = " ct original ip daddr @members" if row.source is Source.MEMBERS else ""
        rule = (
            f"meta l4proto {row.protocol} ct original proto-dst {row.port}"
            f' ip saddr @{row.source.value}{target} accept comment "{row.why}"'
        )
        assert ruleset.count(rule) == 1


def chain(name: str) -> list[str]:
    found = re.search(
        rf"chain {name} \{{(.*?)\n    \}}", nftables_ruleset(POLICY, MEMBERS), re.DOTALL
    )
    assert found is not None
    return [line.strip() for line in found.group(1).strip().splitlines()]


def test_what_members_have_for_each_other_is_closed_to_containers() -> None:
    drop = "meta l4proto {} ct original proto-dst {} ct original ip daddr @members drop"
    ports = [("tcp", 2377), ("tcp", 7946), ("udp", 7946), ("udp", 4789), ("tcp", 5000)]
    assert chain("closed_to_containers") == [drop.format(*port) for port in ports]


def test_containers_are_let_out_after_what_is_closed_to_them() -> None:
    """A rule that accepts a bridge's packets first would bypass the rules that drop."""
    rules = chain("forward")
    closed = rules.index("jump closed_to_containers")
    lets_out = [n for n, rule in enumerate(rules) if rule.startswith("iifname")]
    assert len(lets_out) == 2
    assert all(closed < n for n in lets_out)
    assert rules.index("ct status dnat jump opened") < closed


def test_a_member_s_address_counts_only_from_where_the_member_is() -> None:
    assert "ip saddr @members fib saddr . iif oif missing drop" in chain("forged")
    assert chain("forged")[0].startswith("type filter hook prerouting")


def test_ports_of_the_settings_are_used() -> None:
    policy = Policy(
        operator_cidrs=(),
        client_cidrs=("0.0.0.0/0",),
        web_port=18080,
        flower_port=15555,
        registry_port=15000,
    )
    ports = set(re.findall(r"proto-dst (\d+)", nftables_ruleset(policy, MEMBERS, ssh_port=2222)))
    assert ports == {"2222", "2377", "7946", "4789", "15000", "18080", "15555"}


def test_without_a_registry_its_port_is_closed() -> None:
    policy = Policy(operator_cidrs=("0.0.0.0/0",), client_cidrs=(), registry_port=None)
    assert "5000" not in nftables_ruleset(policy, MEMBERS)
    assert Policy.from_dict(policy.to_dict()) == policy


def test_sources_become_sets() -> None:
    ruleset = nftables_ruleset(POLICY, MEMBERS)
    assert "elements = { 198.51.100.7/32 }" in ruleset
    assert "elements = { 10.213.0.11, 10.213.0.111 }" in ruleset


def test_a_source_without_addresses_is_an_empty_set() -> None:
    policy = Policy(operator_cidrs=("0.0.0.0/0",), client_cidrs=())
    clients = re.search(r"set clients \{(.*?)\}", nftables_ruleset(policy, MEMBERS), re.DOTALL)
    assert clients is not None
    assert "elements" not in clients.group(1)


def test_both_paths_drop_by_default() -> None:
    ruleset = nftables_ruleset(POLICY, MEMBERS)
    assert ruleset.count("policy drop") == 2
    assert "hook input" in ruleset
    assert "hook forward" in ruleset


def test_the_order_of_members_makes_no_difference() -> None:
    forth = nftables_ruleset(POLICY, MEMBERS)
    back = nftables_ruleset(POLICY, reversed([*MEMBERS, MEMBERS[0]]))
    assert forth == back
    assert digest(forth) == digest(back)


def test_another_member_is_another_digest() -> None:
    more = nftables_ruleset(POLICY, [*MEMBERS, "10.213.0.112"])
    assert digest(more) != digest(nftables_ruleset(POLICY, MEMBERS))


@pytest.mark.parametrize("field", ["operator_cidrs", "client_cidrs", "image_pusher_cidrs"])
@pytest.mark.parametrize("cidr", ["everyone", "::/0", "10.0.0.1/8", "10.0.0.0/33", ""])
def test_a_source_that_is_not_a_network_is_refused_by_name(field: str, cidr: str) -> None:
    fields = {"operator_cidrs": (), "client_cidrs": (), field: (cidr,)}
    with pytest.raises(ValueError, match=re.escape(f"{field}: {cidr!r} is not an IPv4 network")):
        Policy(**fields)


def test_policy_survives_a_state_that_has_only_floats() -> None:
    stored = {k: float(v) if k.endswith("port") else v for k, v in POLICY.to_dict().items()}
    assert Policy.from_dict(stored) == POLICY
    assert isinstance(Policy.from_dict(stored).web_port, int)


def test_a_security_group_has_every_row_for_every_source() -> None:
    policy = Policy(
        operator_cidrs=("198.51.100.7/32",), client_cidrs=("198.51.100.7/32", "192.0.2.0/24")
    )
    rules = {(r.protocol, r.from_port, r.to_port, r.cidr) for r in security_group_rules(policy)}
    assert rules == {
        ("icmp", -1, -1, "0.0.0.0/0"),
        ("tcp", 22, 22, "198.51.100.7/32"),
        ("tcp", 2377, 2377, None),
        ("tcp", 7946, 7946, None),
        ("udp", 7946, 7946, None),
        ("udp", 4789, 4789, None),
        ("tcp", 5000, 5000, None),
        ("tcp", 8080, 8080, "198.51.100.7/32"),
        ("tcp", 8080, 8080, "192.0.2.0/24"),
        ("tcp", 5555, 5555, "198.51.100.7/32"),
        ("tcp", 5555, 5555, "192.0.2.0/24"),
    }


def test_a_source_that_is_named_twice_makes_one_rule() -> None:
    """EC2 refuses a second rule that is the same."""
    policy = Policy(operator_cidrs=(), client_cidrs=("192.0.2.0/24", "192.0.2.0/24"))
    names = [rule.name for rule in security_group_rules(policy)]
    assert len(names) == len(set(names))


def test_encrypted_overlays_are_protocol_50_of_a_security_group() -> None:
    policy = Policy(operator_cidrs=(), client_cidrs=(), encrypted_overlay=True)
    (esp,) = [rule for rule in security_group_rules(policy) if rule.protocol == "50"]
    assert (esp.from_port, esp.to_port, esp.cidr) == (None, None, None)


def test_a_rules_description_is_one_that_ec2_takes() -> None:
    """Letters, digits, spaces and ``._-:/()#,@[]+=&;{}!$*``: no apostrophe."""
    for rule in security_group_rules(POLICY):
        assert re.fullmatch(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{1,255}", rule.description)
