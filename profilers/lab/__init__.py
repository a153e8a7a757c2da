"""A lab: many devices on several hosts, as one. `python -m profilers.lab announce`, `run` and `status`.

Ray brings the hosts together: who is there, messages, failures noticed, actors restarted. What is measured and how is
told by the same commands as for one device, which run on the host that holds it: a job of the lab is one such command
line. Modules, from the ground up; only `cluster.py` and `host/actor.py` know Ray:

- `devices.py`: a device and a host as values: kind, model, soc, how it is reached from its host
- `host/`: what runs on each host. attached.py: which devices are there; cores.py: whose jobs may run beside each other;
  leash.py: a command that ends when whoever started it does; jobs.py: jobs begun, looked at and stopped; actor.py: the
  same for Ray; announcing.py: `announce`
- `plan.py`: lab.toml, and which job runs on which device; words.py: the command line of a job
- `run/`: `run`. driver.py: jobs begun, followed and resumed; returned.py: files that come back as they grow
- `siblings/`: several devices of one model, compared and merged, by their finished tables alone. Knows neither Ray nor
  a job: {device: its table} goes in; who agrees, the merged table, and who is set aside and why come out
- `status.py`: hosts, devices and jobs in words
"""
