"""Sites: the rules of the public suffix list, as a relation."""

from tldextract import TLDExtract

from radar_assets.events.sites import WILDCARD_SUFFIXES, public_suffixes

EXTRACT = TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True)


def test_wildcards_of_top_level_domains_are_those_of_the_list() -> None:
    found = {rule.removeprefix("*.") for rule in EXTRACT.tlds if rule.startswith("*.") and rule.count(".") == 1}
    assert set(WILDCARD_SUFFIXES) == found


def test_every_rule_gives_the_registrable_domain_that_tldextract_gives() -> None:
    rules = {row["domain"]: row["rules"] for row in public_suffixes().to_pylist()}
    for rule in EXTRACT.tlds:
        host = "a.b." + rule.removeprefix("!").replace("*", "c")
        names = host.split(".")
        key = names[-1] if names[-1] in WILDCARD_SUFFIXES else ".".join(names[-2:])
        labels = next((one["labels"] for one in rules.get(key, []) if f".{host}".endswith(one["ending"])), 1)
        assert ".".join(names[-1 - labels :]) == EXTRACT.extract_str(host).top_domain_under_public_suffix, rule
