import time
def test_smoke(trained):
    for m in ("full","head","top-layers","lora"):
        t=time.time(); r=trained(m); print(m, r.run.status, r.run.cause, time.time()-t)
    from store import read_log, list_scores, list_events, list_checkpoints, get_cost, list_dynamics
    s, run = r.store, r.run
    print(repr(read_log(s, run.key)))
    print(list_scores(s,[run.key]).to_string())
    print(list_events(s, run.key))
    for c in list_checkpoints(s, run.key): print(c)
    print(get_cost(s, run.key)); print(list_dynamics(s, run.key))
