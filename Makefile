# Each target is one line that calls a script or a tool. HOSTS=1 make lab makes a lab of one host.
.PHONY: check demo test test-full bench lab lab-down lint bootstrap lock
HOSTS ?= 2
# Ansible is started some hundred times: without compiled files each start compiles it and livekit-api anew (1 to 2 s).
unexport PYTHONDONTWRITEBYTECODE

demo: bootstrap
	@lab/demo

check: bootstrap
	@tests/run check

test: bootstrap
	@tests/run

test-full: bootstrap
	@tests/run full

bench: bootstrap
	@.venv/bin/python -m benchmarks.verdict_time
	@.venv/bin/python -m benchmarks.release_time
	@.venv/bin/python -m benchmarks.loss

lint: bootstrap
	@tests/run lint

lab: bootstrap
	@.venv/bin/python lab/lab.py up --hosts $(HOSTS)

lab-down: bootstrap
	@.venv/bin/python lab/lab.py down

bootstrap:
	@lab/bootstrap

# Writes the lock files anew: versions and hashes, no index address.
lock: bootstrap
	@lab/lock
