-- Commits where a run stands now, together with the history row that explains it. The caller holds the lease: a stale
-- fence is refused (SQLSTATE YP001), so that no work of a lost lease is kept. What ``move`` leaves out is null.
CREATE OR REPLACE FUNCTION flow_move(move jsonb, lease_s double precision)
RETURNS TABLE (run_id bigint, must_cancel boolean)
LANGUAGE plpgsql SET enable_seqscan TO off AS $$
DECLARE
    moment timestamptz := clock_timestamp();
    lease interval := make_interval(secs => lease_s);
    new_state text := move ->> 'state';
    moved flow_run;
BEGIN
    UPDATE flow_run r
       SET state = new_state, direction = move ->> 'direction', position = (move ->> 'position')::integer,
           lane = move ->> 'lane', attempt = (move ->> 'attempt')::integer, error = move -> 'error',
           results = CASE WHEN move ? 'forget'
                          THEN r.results - ARRAY(SELECT jsonb_array_elements_text(move -> 'forget'))
                          ELSE r.results END || coalesce(move -> 'results', '{}'),
           outcome = coalesce(move ->> 'outcome', r.outcome),
           wake_at = CASE new_state
                         WHEN 'ready' THEN moment + make_interval(secs => coalesce((move ->> 'wake_in_s')::float, 0))
                         WHEN 'waiting' THEN moment + make_interval(secs => (move ->> 'wake_in_s')::float) END,
           waiting_for = CASE WHEN move ? 'waiting_for'
                              THEN ARRAY(SELECT jsonb_array_elements_text(move -> 'waiting_for')) ELSE '{}' END,
           deadline = CASE WHEN move ? 'keep_deadline' THEN r.deadline
                           ELSE moment + make_interval(secs => (move ->> 'deadline_in_s')::float) END,
           lease_owner = CASE WHEN new_state = 'running' THEN r.lease_owner END,
           lease_until = CASE WHEN new_state = 'running' THEN
                              CASE WHEN r.lease_until < moment + lease / 2 THEN moment + lease
                                   ELSE r.lease_until END END,
           fence = r.fence + 1, updated_at = moment
     WHERE r.id = (move ->> 'id')::bigint AND r.fence = (move ->> 'fence')::bigint AND r.state = 'running'
    RETURNING r.* INTO moved;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'lease lost' USING ERRCODE = 'YP001', DETAIL = move ->> 'id';
    END IF;
    IF move ? 'step' THEN
        INSERT INTO flow_step (run_id, step, direction, attempt, outcome, result, error, started_at, ended_at)
        VALUES (moved.id, move ->> 'step', move ->> 'step_direction', (move ->> 'step_attempt')::integer,
                move ->> 'step_outcome', move -> 'step_result', move -> 'step_error',
                (move ->> 'started_at')::timestamptz, moment);
    END IF;
    IF move ? 'begun' THEN
        INSERT INTO flow_step (run_id, step, direction, attempt, outcome, result, started_at, ended_at)
        VALUES (moved.id, move #>> '{begun,step}', 'forward', 1, 'started', move #> '{begun,result}', moment, moment);
    END IF;
    IF new_state = 'ready' AND moved.wake_at <= moment THEN
        PERFORM flow_wake(ARRAY[moved.lane]);
    ELSIF new_state IN ('done', 'undone') AND (moved.parent_id IS NOT NULL OR moved.order_key IS NOT NULL) THEN
        PERFORM flow_ended(ARRAY[moved.id]);
    END IF;
    run_id := moved.id;
    must_cancel := moved.cancel_requested;
    RETURN NEXT;
END $$;

-- The same move for many runs at once; ``runs`` has what is each one's own: id, fence, results, step_result. One stale
-- fence refuses them all. Set-based, which would cost a single run twice as much.
CREATE OR REPLACE FUNCTION flow_move_all(move jsonb, runs jsonb, lease_s double precision)
RETURNS TABLE (run_id bigint, must_cancel boolean)
LANGUAGE plpgsql SET enable_seqscan TO off AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz := clock_timestamp();
    lease interval := make_interval(secs => lease_s);
    new_state text := move ->> 'state';
    new_direction text := move ->> 'direction';
    new_position integer := move ->> 'position';
    new_lane text := move ->> 'lane';
    new_attempt integer := move ->> 'attempt';
    new_outcome text := move ->> 'outcome';
    new_error jsonb := move -> 'error';
    forgotten text[] := ARRAY(SELECT jsonb_array_elements_text(move -> 'forget'));
    words text[] := ARRAY(SELECT jsonb_array_elements_text(move -> 'waiting_for'));
    wake timestamptz := moment + make_interval(secs => coalesce((move ->> 'wake_in_s')::float,
                                                               CASE new_state WHEN 'ready' THEN 0 END));
    new_deadline timestamptz := moment + make_interval(secs => (move ->> 'deadline_in_s')::float);
    keep_deadline boolean := move ? 'keep_deadline';
    told_step text := move ->> 'step';
    told_direction text := move ->> 'step_direction';
    told_attempt integer := move ->> 'step_attempt';
    told_outcome text := move ->> 'step_outcome';
    told_error jsonb := move -> 'step_error';
    told_start timestamptz := move ->> 'started_at';
    begun jsonb := move -> 'begun';
    ids bigint[];
    cancels boolean[];
    any_awaited boolean;
BEGIN
    WITH own AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(runs) AS o (id bigint, fence bigint, results jsonb, step_result jsonb)),
    moved AS (
        UPDATE flow_run r
           SET state = new_state, direction = new_direction, position = new_position, lane = new_lane,
               attempt = new_attempt, error = new_error, outcome = coalesce(new_outcome, r.outcome),
               results = (r.results - forgotten) || coalesce(o.results, '{}'),
               wake_at = wake, waiting_for = words,
               deadline = CASE WHEN keep_deadline THEN r.deadline ELSE new_deadline END,
               lease_owner = CASE WHEN new_state = 'running' THEN r.lease_owner END,
               lease_until = CASE WHEN new_state = 'running' THEN
                                  CASE WHEN r.lease_until < moment + lease / 2 THEN moment + lease
                                       ELSE r.lease_until END END,
               fence = r.fence + 1, updated_at = moment
          FROM own o
         WHERE r.id = o.id AND r.fence = o.fence AND r.state = 'running'
        RETURNING r.id, r.cancel_requested, r.parent_id IS NOT NULL OR r.order_key IS NOT NULL AS awaited),
    told AS (
        INSERT INTO flow_step (run_id, step, direction, attempt, outcome, result, error, started_at, ended_at)
        SELECT id, told_step, told_direction, told_attempt, told_outcome, step_result, told_error, told_start, moment
          FROM own
         WHERE told_step IS NOT NULL
        UNION ALL
        SELECT id, begun ->> 'step', 'forward', 1, 'started', begun -> 'result', NULL, moment, moment
          FROM own
         WHERE begun IS NOT NULL)
    SELECT array_agg(id), array_agg(cancel_requested), bool_or(awaited)
      INTO ids, cancels, any_awaited
      FROM moved;

    IF coalesce(cardinality(ids), 0) < jsonb_array_length(runs) THEN
        RAISE EXCEPTION 'lease lost' USING ERRCODE = 'YP001',
            DETAIL = (SELECT string_agg(o.id::text, ',') FROM jsonb_to_recordset(runs) AS o (id bigint)
                       WHERE o.id <> ALL (coalesce(ids, '{}')));
    END IF;
    IF new_state = 'ready' AND wake <= moment THEN
        PERFORM flow_wake(ARRAY[new_lane]);
    ELSIF new_state IN ('done', 'undone') AND any_awaited THEN
        PERFORM flow_ended(ids);
    END IF;
    RETURN QUERY SELECT * FROM unnest(ids, cancels);
END $$;
