# `make` alone lists the targets with their descriptions.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
WORKERS ?= 2
# A name of this clone's own, so that two clones can lock at the same time.
LOCK_TOOLS := dairflow/airflow-tools:$(shell printf %s "$(CURDIR)" | sha256sum | cut -c 1-16)

MARKDOWN = $(shell git ls-files '*.md')
SHELL_SCRIPTS = $(shell git ls-files '*.sh' .ci/run images/airflow/setting tools/base/policy-rc.d)
UNIT_TESTS := -m "not chaos" tests/unit

# What is after it runs with the project's own programs and settings.
ENV := . ./env.sh &&
COMPOSE := $(ENV) docker compose
FORMAT ?= text
CHECK_DAGS := $(ENV) AIRFLOW_HOME="$(CURDIR)/.dairflow/airflow" \
	dag-builder check --format $(FORMAT) --cluster .dairflow/cluster.json dags

.PHONY: help update-nodes setup setup-up setup-dev setup-lock setup-test refresh up down dev dev-logs dev-down dev-reset \
	check dev-check test chaos test-unit coverage backups test-mail lint format docs lock bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## find, get or build everything that the project needs
	@$(PYTHON) -m tools.setup

setup-up:
	@$(PYTHON) -m tools.setup --for up

setup-lock:
	@$(PYTHON) -m tools.setup --for lock

setup-test:
	@$(PYTHON) -m tools.setup --for test

setup-dev:
	@$(PYTHON) -m tools.setup --for dev

refresh: ## rebuild the base image and every image on it, with Debian's updates
	@$(PYTHON) -m tools.setup --refresh

up: setup-up ## start Airflow on a swarm on this machine, and check it with a run
	@$(ENV) python -m tools.local_stack up
	@$(ENV) python -m tools.prove

update-nodes: setup-up ## give the nodes of a local cluster the newest engine, one after the other
	@$(ENV) python -m tools.update_nodes

down: setup-up ## remove the cluster
	@$(ENV) python -m tools.local_stack down

dev: setup-dev ## start the same services on the laptop, without a cluster (docker compose)
	@$(COMPOSE) up --detach --wait --no-build --scale worker=$(WORKERS)
	@echo "Airflow: http://localhost:$${DAIRFLOW_WEB_PORT:-8080}  (user admin, password in" \
		".dairflow/dev-secrets/admin_password)"
	@echo "Flower:  http://localhost:$${DAIRFLOW_FLOWER_PORT:-5555}  (user admin, password in" \
		".dairflow/dev-secrets/flower_password)"
	@echo "An edit in dags/ or dag_builder/ is live in a few seconds. More workers: make dev WORKERS=3"

dev-logs: ## follow the laptop's logs
	@$(COMPOSE) logs --follow --tail 100

dev-down: ## stop the laptop's services, keep their data
	@$(COMPOSE) stop
	@$(COMPOSE) rm --force --volumes
	@$(COMPOSE) down --remove-orphans

dev-reset: ## stop the laptop's services and remove their data
	@$(COMPOSE) down --remove-orphans --volumes

check: setup-up ## check the DAGs, also against the cluster: make check FORMAT=github
	@$(ENV) python -m tools.describe_cluster stack .dairflow/cluster.json
	@$(CHECK_DAGS)

dev-check: setup-dev ## check the DAGs, also against the laptop's services
	@$(ENV) python -m tools.describe_cluster laptop .dairflow/cluster.json
	@$(CHECK_DAGS)

test: setup-test ## run every test, a real cluster included
	@mkdir -p .dairflow/logs
	@$(ENV) status=0; \
		pytest tests/contract >.dairflow/logs/contract.log 2>&1 & contract=$$!; \
		trap 'kill $$contract 2>/dev/null; exit 130' INT TERM; \
		pytest --numprocesses auto $(UNIT_TESTS) || status=1; \
		pytest -m "not chaos" tests/e2e tests/integration || status=1; \
		wait $$contract || status=1; \
		cat .dairflow/logs/contract.log; \
		exit $$status

chaos: setup-test ## run the long faults: absences, lost messages, expired certificates
	@$(ENV) pytest -m chaos

test-unit: setup-up ## run the tests that need seconds and no containers
	@$(ENV) pytest --numprocesses auto $(UNIT_TESTS)

backups: setup-up ## show the cluster's backups, and what is wrong with them
	@$(ENV) $$(pulumi stack output managerSsh) \
		'docker exec $$(docker ps -qf name=airflow_backup) /opt/dairflow/backup_status.sh'

test-mail: setup-up ## send a mail with the cluster's mail server: make test-mail TO=me@example.org
	@$(ENV) $$(pulumi stack output managerSsh) \
		'docker exec $$(docker ps -qf name=airflow_api-server | head -n 1) \
		/opt/dairflow/entrypoint.sh python -m dairflow.mail "$(TO)"'

coverage: setup-up ## run the unit tests and list the lines that they do not reach
	@$(ENV) pytest --numprocesses auto --cov --cov-report term-missing:skip-covered $(UNIT_TESTS)

lint: setup-up ## check style, shell scripts, prose, layers and types
	@$(ENV) ruff check . && ruff format --check . && mdformat --check $(MARKDOWN) \
		&& shellcheck $(SHELL_SCRIPTS) \
		&& python -m tools.prose && lint-imports --no-cache && pyright

format: setup-up ## rewrite code and Markdown in the project's style
	@$(ENV) ruff check --fix . ; ruff format . ; mdformat $(MARKDOWN)

docs: setup-up ## build the documentation's site into .dairflow/site
	@$(ENV) uv run --isolated --frozen --only-group docs mkdocs build --strict
	@echo "The site is in .dairflow/site/index.html"

lock: setup-lock ## update the lock files to their requirements; UPGRADE=1: airflow_env's to the newest
	@mkdir -p .dairflow/logs
	@$(ENV) uv lock
	@$(ENV) python -m tools.build_image --target tools --tag "$(LOCK_TOOLS)" \
		--build-arg PIP_INDEX_URL --build-arg BASE_IMAGE="$$(python -m tools.image_names base)" \
		--file images/airflow/Dockerfile . >.dairflow/logs/lock.log 2>&1 \
		|| { tail -n 15 .dairflow/logs/lock.log >&2; exit 1; }
	@$(ENV) docker run --rm --user "$$(id -u):$$(id -g)" --env HOME=/tmp \
		--env CONDA_CHANNELS --env PIP_INDEX_URL \
		--volume "$(CURDIR)/images/airflow:/work" --workdir /work "$(LOCK_TOOLS)" \
		python -m airflow_env lock $(if $(UPGRADE),--upgrade)

bench: setup ## measure against named peers, in the same run
	@$(ENV) python -m benchmarks

clean: ## remove what set-up made in this folder; keeps stacks, their passphrase and the cache
	@rm -rf .venv .dairflow/bin .dairflow/logs .dairflow/pulumi .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "kept: .dairflow/state and .dairflow/passphrase (your stacks)," \
		"and $${XDG_CACHE_HOME:-$$HOME/.cache}/dairflow (built programs, for all clones)"
