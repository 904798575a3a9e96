# make help says what there is. The work is done by the scripts in tools/, each of which says at its head what it does.
#
# PG=NN chooses the major version of PostgreSQL (15–18), PG_CONFIG=/path/pg_config a PostgreSQL of your own.
# LOGINTEL_DATA=/folder names the real logs that some tests read; ../shared/data is found by itself.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-stop test lint crash soak fuzz bench eval install deb installcheck data clean distclean

export PG PG_CONFIG RUNAS LOGINTEL_DATA ROUNDS MINUTES SEED
# A variable that was not given is not set, rather than empty.
$(foreach v,PG PG_CONFIG RUNAS LOGINTEL_DATA ROUNDS MINUTES SEED,$(if $($(v)),,$(eval unexport $(v))))

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

setup: ## installs what is missing: PostgreSQL with headers, libclang, cargo-pgrx
	@tools/setup.sh

demo: ## incidents found in the log of a server that is broken on purpose; DATA=file takes a log file of yours
	@tools/demo.sh start $(if $(DATA),"$(DATA)")

demo-stop: ## stops the demo's server and deletes it
	@tools/demo.sh stop

test: ## everything; ends in "N passed, N failed"
	@tools/test.sh

fuzz: ## hostile input for the engine and a server, an hour and more; TARGET=options one part of it; its short form is in make test
	@tools/fuzz.sh $(TARGET)

lint: ## formatting, clippy, licences of the packages
	@tools/test.sh fmt clippy deny

crash: ## kills processes of a server in the middle of anything, ROUNDS=200 times; SEED=… repeats a run
	@tools/reliability.sh crash

soak: ## mixed load with random faults for MINUTES=30; SEED=… repeats a run
	@tools/reliability.sh soak

bench: ## measures beside scikit-learn and writes docs/benchmarks.md (35 minutes); PART=embedding one part of it
	@tools/bench.sh $(PART)

eval: ## measures detection on labelled logs and writes docs/detection.md; TASK=templates one part of it
	@tools/eval.sh $(TASK)

install: ## builds a release and installs it: make install PG_CONFIG=/path/pg_config
	@tools/install.sh

deb: ## a Debian package postgresql-NN-logintel in target/deb; PG=NN
	@tools/deb.sh check

installcheck: ## the regression tests in the running server of PGHOST and PGPORT, where logintel is installed
	@tools/regress.sh --installcheck

data: ## fetches real logs for the tests from their public homes into target/data
	@tools/data.sh

clean: ## removes builds and private clusters
	@tools/clean.sh

distclean: ## removes the whole target folder, the tools and data in it included
	@tools/clean.sh all
