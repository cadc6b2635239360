"""Every key of Compose's has a decision; none is passed over in silence."""

from __future__ import annotations

import pytest

from infra.stack import compose_keys
from infra.stack.compose_keys import Section
from infra.stack.translate import TRANSLATED

SERVICE = """annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent
cgroupns_mode command configs container_name cpu_count cpu_percent cpu_period cpu_quota
cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec depends_on deploy develop
device_cgroup_rules
devices dns dns_opt dns_search domainname entrypoint env_file environment expose extends
external_links extra_hosts gpus group_add healthcheck hostname image init ipc isolation label_file
labels links logging mac_address mem_limit mem_reservation mem_swappiness memswap_limit models
network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports post_start
pre_stop privileged profiles provider pull_policy pull_refresh_after read_only restart runtime scale
secrets security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty
ulimits use_api_socket user userns_mode uts volumes volumes_from working_dir"""
"""The keys of a service in the Compose specification, and the one that only format 3.12 has."""

IGNORED_BY_STACKS = """build cgroupns_mode cgroup_parent devices domainname external_links ipc links
mac_address network_mode pid privileged restart security_opt shm_size userns_mode container_name
expose extends volumes_from cpu_quota cpu_shares cpuset mem_limit memswap_limit tmpfs"""
"""What docker/cli 26.1 takes and ignores, or forbids (compose/types, convert/service.go)."""


@pytest.mark.parametrize(
    ("section", "specification"),
    [
        (compose_keys.SERVICE, SERVICE),
        (compose_keys.TOP, "configs include models name networks secrets services version volumes"),
        (
            compose_keys.HEALTH_CHECK,
            "disable interval retries start_interval start_period test timeout",
        ),
        (
            compose_keys.DEPLOY,
            """endpoint_mode labels mode placement replicas resources restart_policy
            rollback_config update_config""",
        ),
        (
            compose_keys.NETWORK,
            """attachable driver driver_opts enable_ipv4 enable_ipv6 external internal ipam
            labels name""",
        ),
        (compose_keys.VOLUME, "driver driver_opts external labels name x-cluster-spec"),
        (
            compose_keys.SECRET,
            "driver driver_opts environment external file labels name template_driver",
        ),
        (
            compose_keys.CONFIG,
            "content environment external file labels name template_driver",
        ),
    ],
)
def test_every_key_of_the_specification_is_decided(section: Section, specification: str) -> None:
    assert section.keys == set(specification.split())


def test_a_key_is_decided_once() -> None:
    for section in (value for value in vars(compose_keys).values() if isinstance(value, Section)):
        taken, refused = set(section.taken), set(section.refused)
        assert not taken & refused
        assert not section.laptop & (taken | refused)


def test_nothing_that_stacks_ignore_is_passed_on() -> None:
    passed_on = set(compose_keys.SERVICE.taken) - TRANSLATED
    assert not passed_on & set(IGNORED_BY_STACKS.split())


def test_each_refusal_has_what_to_do() -> None:
    for section in (value for value in vars(compose_keys).values() if isinstance(value, Section)):
        assert all(refusal.reason and refusal.advice for refusal in section.refused.values())
