"""The life of a task: submit, dispatch, claim, finish, recover, prune."""
