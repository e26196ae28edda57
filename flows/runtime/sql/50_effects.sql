-- Notes that a write is about to be sent. The caller must hold the run's lease.
CREATE OR REPLACE FUNCTION effect_intend(
    in_run_id bigint, in_fence bigint, in_step text, in_system text, in_writer text, in_key text,
    in_body bytea, in_body_key_id bigint, in_traceparent text)
RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan TO off AS $$
DECLARE
    holder flow_run;
    noted bigint;
BEGIN
    SELECT * INTO holder FROM flow_run WHERE id = in_run_id AND fence = in_fence AND state = 'running' FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'lease lost' USING ERRCODE = 'YP001', DETAIL = in_run_id::text;
    END IF;
    INSERT INTO effect (owner, brand, run_id, step, system, writer, key, body, body_key_id, traceparent)
    VALUES (holder.owner, holder.brand, in_run_id, in_step, in_system, in_writer, in_key, in_body, in_body_key_id,
            in_traceparent)
    ON CONFLICT (owner, brand, system, writer, key) DO UPDATE
       SET state = 'intended', intended_at = clock_timestamp(), attempts = effect.attempts + 1, body = excluded.body,
           body_key_id = excluded.body_key_id, error = NULL, settled_at = NULL
     WHERE effect.run_id = excluded.run_id
    RETURNING id INTO noted;
    IF noted IS NULL THEN
        RAISE EXCEPTION 'effect key % belongs to another run', in_key USING ERRCODE = 'unique_violation';
    END IF;
    RETURN noted;
END $$;

-- What is known about a write now, the health of its lane, and where the run goes on: one commit.
-- verdict: 'well' (it answered), 'away' (it did not), or null (this says nothing about the destination).
CREATE OR REPLACE FUNCTION effect_settle(
    in_effect_id bigint, in_state text, in_outside_id text, in_answer jsonb, in_error jsonb,
    in_lane text, verdict text, struggling integer, block_s double precision, block_max_s double precision,
    move jsonb, lease_s double precision)
RETURNS TABLE (run_id bigint, must_cancel boolean, failures_before integer, failures_after integer)
LANGUAGE plpgsql SET enable_seqscan TO off AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz;
    here lane;
    after integer;
BEGIN
    SELECT * INTO here FROM lane WHERE name = in_lane FOR UPDATE;
    moment := clock_timestamp();
    after := CASE verdict WHEN 'well' THEN 0 WHEN 'away' THEN here.failures + 1 ELSE here.failures END;
    IF after <> here.failures THEN
        UPDATE lane
           SET failures = after, last_error = coalesce(in_error, last_error),
               blocked_until = CASE
                   WHEN block_s > 0 THEN moment + make_interval(secs => block_s)
                   WHEN after >= struggling THEN
                       moment + make_interval(secs => least(block_max_s, power(2, least(after - struggling, 20))))
               END
         WHERE name = in_lane;
    END IF;
    UPDATE effect
       SET state = in_state, outside_id = in_outside_id, answer = in_answer, error = in_error,
           settled_at = CASE WHEN in_state IN ('confirmed', 'refused') THEN moment END
     WHERE id = in_effect_id;
    RETURN QUERY SELECT m.run_id, m.must_cancel, here.failures, after FROM flow_move(move, lease_s) AS m;
    IF EXISTS (SELECT 1 FROM flow_run WHERE state = 'ready' AND lane = in_lane AND wake_at <= moment) THEN
        PERFORM flow_wake(ARRAY[in_lane]);
    END IF;
END $$;
