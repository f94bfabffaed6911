"""Processes, servers and hosts die: no accepted call is lost, and no unsafe call runs twice.

``tox -e faults`` plays each fault once or twice, ``tox -e faults-long`` many times on more cells; without TEST_FAULTS
(``short`` or ``all``) there are no tests here. A client writes down what was answered with 202. When all is quiet, the
checker (``verdict``) looks for each of these calls: lost, duplicated, stuck, or a stored file that no row names. Each
test adds a line to the report at the end, and the last line sums them up.

=================================================================== ====================================================
fault                                                               where it is shown
=================================================================== ====================================================
a worker is killed, idle (with the queue's lock) or busy            test_kills
the monitor, pusher, sentinel, head or supervisor is killed         test_kills
the whole group is killed with all that it has fetched              test_kills
a cluster is killed between its wake-up and the start of a call     test_wake_ups
a cluster stands still with claimed and ready calls, and goes on    test_wake_ups
stop, with a backlog, or with calls longer than the grace           test_kills
a worker stands still past its lease, and goes on                   test_leases
a message comes again during its run                                test_leases
PostgreSQL crashes; SQLite is held by another process               test_databases
a disk is full, in results and in request bodies                    ../test_storage_faults
S3 dies in an upload, is slow, or away                              ../test_storage_s3, ../test_storage_faults
Redis dies, forgets, is emptied, away or silent                     test_brokers; other brokers: ../journeys
a web server dies between its commit and the broker                 test_brokers
a clock is 60 s or an hour ahead, or behind, or jumps by an hour    test_clocks
SECRET_KEY is rotated, versions are mixed                           test_deploys
web servers and clusters of two releases, in a rolling upgrade      test_upgrades
receivers of webhooks hang, drip, flood, lie; workers die           test_receivers, test_deliveries; ../test_transport
a call kills its worker, overruns, or is stuck in C                 test_harm
calls are cancelled at random moments                               test_cancel; without processes: ../test_watch
a large result needs no more memory than a small one                ../test_memory
one account has 10,000 calls waiting, another has one call          test_fairness
a host is cut off from the others, for a while or for ever          test_hosts
=================================================================== ====================================================
"""
