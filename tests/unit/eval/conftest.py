"""Run folders as the nodes write them."""

from run_folders import done_run, failed_run, store  # noqa: F401  (fixtures)
