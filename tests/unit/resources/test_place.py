"""The target of a stack does not change; nor do its region and account on AWS."""

from infra.resources.place import PlaceProvider

HOME = {"target": "aws", "region": "eu-central-1", "account": "123456789012"}


def reasons(olds: dict[str, str], news: dict[str, str]) -> list[str]:
    return [failure.reason for failure in PlaceProvider().check(olds, news).failures or []]


def test_a_new_stack_and_an_unchanged_one_are_taken() -> None:
    assert reasons({}, HOME) == reasons(HOME, HOME) == []


def test_another_target_is_refused() -> None:
    (target,) = reasons(HOME, {"target": "local", "region": "", "account": ""})
    assert (
        "target: 'local' is not valid. The machines of this stack were created with 'aws'" in target
    )


def test_another_region_or_account_is_refused_with_both_values_and_the_next_step() -> None:
    (region,) = reasons(HOME, {**HOME, "region": "eu-west-1"})
    assert "awsRegion: 'eu-west-1' is not valid" in region
    assert "created with 'eu-central-1'" in region
    assert "`pulumi destroy`" in region
    (account,) = reasons(HOME, {**HOME, "account": "210987654321"})
    assert "the account of the AWS credentials: '210987654321' is not valid" in account
