import ofa as ofa  # first of all, for Ctrl-C while a command loads: `ofa.cli.loading`
