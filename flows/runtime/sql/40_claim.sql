-- A claim need not outlive a crash of PostgreSQL: then the run is due again, and whoever held it is refused at its next
-- commit or is the first to commit. So nobody waits for the disk here. Each claim is a transaction of its own.
--
-- Takes due runs of a lane under a lease. ``known`` are the flows this process can carry on, as name@version.
-- ``at_*`` narrow the claim to runs that stand at one step, and say the same word in a field of their input, for a
-- batch.
DROP FUNCTION IF EXISTS flow_claim(text, text, double precision, integer, text[], text, integer, integer);
CREATE OR REPLACE FUNCTION flow_claim(
    in_lane text, worker text, lease_s double precision, wanted integer, known text[],
    at_flow text DEFAULT NULL, at_version integer DEFAULT NULL, at_position integer DEFAULT NULL,
    at_field text DEFAULT NULL, at_word text DEFAULT NULL)
RETURNS SETOF flow_run
LANGUAGE plpgsql SET enable_seqscan TO off AS $$
DECLARE
    moment timestamptz := clock_timestamp();
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    RETURN QUERY
    WITH picked AS MATERIALIZED (
        SELECT id FROM flow_run
         WHERE state = 'ready' AND lane = in_lane AND wake_at <= moment AND flow || '@' || version = ANY (known)
           AND (at_flow IS NULL OR (flow = at_flow AND version = at_version AND position = at_position
                                    AND direction = 'forward' AND attempt = 0
                                    AND (at_field IS NULL OR input ->> at_field = at_word)))
         ORDER BY wake_at, id
         LIMIT wanted
           FOR NO KEY UPDATE SKIP LOCKED)
    UPDATE flow_run r
       SET state = 'running', fence = r.fence + 1, attempt = r.attempt + 1, lease_owner = worker,
           lease_until = moment + make_interval(secs => lease_s), updated_at = moment
      FROM picked
     WHERE r.id = picked.id
    RETURNING r.*;
END $$;

-- Takes those of these runs that are due in one of these lanes and that nobody else is taking.
DROP FUNCTION IF EXISTS flow_claim_one(bigint, text[], text, double precision, text[]);
CREATE OR REPLACE FUNCTION flow_claim_these(
    run_ids bigint[], lanes text[], worker text, lease_s double precision, known text[])
RETURNS SETOF flow_run
LANGUAGE plpgsql SET enable_seqscan TO off AS $$
DECLARE
    moment timestamptz := clock_timestamp();
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    RETURN QUERY
    WITH picked AS MATERIALIZED (
        SELECT id FROM flow_run
         WHERE id = ANY (run_ids) AND state = 'ready' AND wake_at <= moment AND lane = ANY (lanes)
           AND flow || '@' || version = ANY (known)
         ORDER BY id
           FOR NO KEY UPDATE SKIP LOCKED)
    UPDATE flow_run r
       SET state = 'running', fence = r.fence + 1, attempt = r.attempt + 1, lease_owner = worker,
           lease_until = moment + make_interval(secs => lease_s), updated_at = moment
      FROM picked
     WHERE r.id = picked.id
    RETURNING r.*;
END $$;

-- Takes due runs of a destination's lane, as many as its slots, its rate and its health allow. A run in state
-- ``running`` holds a slot; the lane's row lock makes claims and releases take turns.
CREATE OR REPLACE FUNCTION flow_claim_slot(
    in_lane text, worker text, lease_s double precision, wanted integer, known text[], struggling integer,
    in_concurrency integer, in_rate_per_s double precision)
RETURNS SETOF flow_run
LANGUAGE plpgsql SET enable_seqscan TO off AS $$
DECLARE
    moment timestamptz;
    here lane;
    allowed integer;
    taken integer;
BEGIN
    INSERT INTO lane (name) VALUES (in_lane) ON CONFLICT (name) DO NOTHING;
    SELECT * INTO here FROM lane WHERE name = in_lane FOR UPDATE;
    IF (here.concurrency, here.rate_per_s) <> (in_concurrency, in_rate_per_s) THEN
        UPDATE lane SET concurrency = in_concurrency, rate_per_s = in_rate_per_s WHERE name = in_lane
        RETURNING * INTO here;
    END IF;
    moment := clock_timestamp();
    IF here.paused OR here.blocked_until > moment THEN
        RETURN;
    END IF;
    allowed := CASE WHEN here.failures >= struggling THEN 1 ELSE here.concurrency END
             - (SELECT count(*) FROM flow_run WHERE state = 'running' AND lane = in_lane);
    IF here.rate_per_s > 0 THEN
        here.tokens := least(greatest(1, here.rate_per_s),
                             here.tokens + extract(epoch FROM moment - here.refilled_at) * here.rate_per_s);
        allowed := least(allowed, floor(here.tokens)::integer);
    END IF;
    IF allowed <= 0 THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT * FROM flow_claim(in_lane, worker, lease_s, least(wanted, allowed), known);
    GET DIAGNOSTICS taken = ROW_COUNT;
    IF here.rate_per_s > 0 THEN
        UPDATE lane SET tokens = here.tokens - taken, refilled_at = moment WHERE name = in_lane;
    END IF;
END $$;
