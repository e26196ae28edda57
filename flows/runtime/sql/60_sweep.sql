-- Puts right what nobody else will: leases of workers that died, waits that are over. Of several sweepers one
-- works, the others return at once.
CREATE OR REPLACE FUNCTION flow_sweep(wanted integer, lost_limit integer)
RETURNS TABLE (leases integer, waits integer)
LANGUAGE plpgsql SET enable_seqscan TO off AS $$
DECLARE
    moment timestamptz := clock_timestamp();
BEGIN
    leases := 0;
    waits := 0;
    IF NOT pg_try_advisory_xact_lock(7202611220003) THEN
        RETURN NEXT;
        RETURN;
    END IF;
    WITH dead AS MATERIALIZED (
        SELECT id, 1 + coalesce((error ->> 'lost')::integer, 0) AS lost FROM flow_run
         WHERE state = 'running' AND lease_until < moment
         ORDER BY id LIMIT wanted FOR NO KEY UPDATE SKIP LOCKED),
    freed AS (
        UPDATE flow_run r
           SET state = CASE WHEN d.lost >= lost_limit THEN 'parked' ELSE 'ready' END,
               wake_at = moment, lease_owner = NULL, lease_until = NULL, fence = r.fence + 1, updated_at = moment,
               error = coalesce(r.error, '{}') || jsonb_build_object(
                   'code', 'worker.lost', 'lost', d.lost, 'detail', CASE
                       WHEN d.lost >= lost_limit
                       THEN 'every worker that took this step was lost; find out why, then retry the run'
                       ELSE 'the worker that held this run is gone; another one takes it over' END)
          FROM dead d
         WHERE r.id = d.id
        RETURNING r.id, r.position, r.direction, r.attempt, r.error, r.lease_owner),
    told AS (
        INSERT INTO flow_step (run_id, step, direction, attempt, outcome, error, started_at, ended_at)
        SELECT id, '', direction, attempt, 'lost', error, moment, moment FROM freed)
    SELECT count(*) INTO leases FROM freed;
    WITH due AS MATERIALIZED (
        SELECT id FROM flow_run
         WHERE state = 'waiting' AND wake_at <= moment
         ORDER BY wake_at LIMIT wanted FOR NO KEY UPDATE SKIP LOCKED)
    UPDATE flow_run r SET state = 'ready', waiting_for = '{}', updated_at = moment FROM due WHERE r.id = due.id;
    GET DIAGNOSTICS waits = ROW_COUNT;
    RETURN NEXT;
END $$;

-- Lanes with due runs that may go, and which flows among them (as name@version) this process does not know.
CREATE OR REPLACE FUNCTION flow_due(known text[]) RETURNS TABLE (lane text, strange text[])
LANGUAGE sql STABLE AS $$
    SELECT r.lane,
           array_agg(DISTINCT r.flow || '@' || r.version) FILTER (WHERE r.flow || '@' || r.version <> ALL (known))
      FROM flow_run r LEFT JOIN lane l ON l.name = r.lane
     WHERE r.state = 'ready' AND r.wake_at <= now()
       AND NOT coalesce(l.paused, false) AND coalesce(l.blocked_until <= now(), true)
     GROUP BY r.lane;
$$;
