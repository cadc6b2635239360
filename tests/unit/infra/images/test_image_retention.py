"""Which releases are kept, and which images are candidates for removal."""

from infra.images import retention as image_retention

ONE, TWO, THREE = (f"10.0.0.1:5000/airflow@sha256:{letter * 64}" for letter in "abc")


def test_the_newest_releases_are_kept() -> None:
    assert image_retention.newest([[TWO], [ONE]], [THREE], 2) == [[THREE], [TWO]]


def test_a_release_that_is_deployed_again_is_the_newest_and_counts_once() -> None:
    assert image_retention.newest([[THREE], [TWO], [ONE]], [ONE], 3) == [[ONE], [THREE], [TWO]]


def test_only_the_clusters_own_images_are_candidates() -> None:
    listed = [
        ONE,
        TWO,
        "10.0.0.1:5000/airflow@<none>",
        f"10.0.0.1:50001/airflow@sha256:{'d' * 64}",
        f"postgres@sha256:{'e' * 64}",
    ]
    assert image_retention.unkept(listed, ["10.0.0.1:5000/"], {TWO}) == [ONE]
