-- Starts runs; the same (owner, brand, flow, business key) starts once. Runs with an order key begin as waiting
-- for their turn, and the first of each key is let go at once. With a ``worker``, runs without an order key begin
-- under that worker's lease; nobody else is told of them.
CREATE OR REPLACE FUNCTION flow_start(starts jsonb, worker text DEFAULT NULL, lease_s double precision DEFAULT NULL)
RETURNS TABLE (place integer, run_id bigint, is_new boolean)
LANGUAGE plpgsql SET enable_seqscan TO off AS $$
#variable_conflict use_column
DECLARE
    made bigint[];
    ordered jsonb;
    woken text[];
BEGIN
    IF starts @? '$[*].order_key ? (@ != null)' THEN
        PERFORM flow_lock_order(k.owner, k.brand, k.flow, k.order_key)
           FROM (SELECT DISTINCT owner, brand, flow, order_key
                   FROM jsonb_to_recordset(starts) AS s (owner text, brand text, flow text, order_key text)
                  WHERE order_key IS NOT NULL
                  ORDER BY owner, brand, flow, order_key) AS k;
    END IF;

    WITH new AS (
        INSERT INTO flow_run (owner, brand, flow, version, business_key, lane, input, parent_id, order_key, traceparent,
                              state, wake_at, waiting_for, lease_owner, lease_until, fence, attempt)
        SELECT s.owner, s.brand, s.flow, s.version, s.key, s.lane, s.input, s.parent_id, s.order_key, s.traceparent,
               CASE WHEN s.order_key IS NOT NULL THEN 'waiting' WHEN worker IS NULL THEN 'ready' ELSE 'running' END,
               CASE WHEN s.order_key IS NULL THEN clock_timestamp() END,
               CASE WHEN s.order_key IS NULL THEN '{}' ELSE '{@order}'::text[] END,
               CASE WHEN s.order_key IS NULL THEN worker END,
               CASE WHEN s.order_key IS NULL THEN clock_timestamp() + make_interval(secs => lease_s) END,
               CASE WHEN s.order_key IS NULL AND worker IS NOT NULL THEN 1 ELSE 0 END,
               CASE WHEN s.order_key IS NULL AND worker IS NOT NULL THEN 1 ELSE 0 END
          FROM ROWS FROM (jsonb_to_recordset(starts) AS (
                   owner text, brand text, flow text, version integer, key text, lane text, input jsonb,
                   parent_id bigint, order_key text, traceparent text)) WITH ORDINALITY AS s
         ORDER BY s.ordinality
        ON CONFLICT (owner, brand, flow, business_key) DO NOTHING
        RETURNING id, owner, brand, flow, order_key, lane)
    SELECT array_agg(id ORDER BY id),
           array_agg(DISTINCT lane) FILTER (WHERE order_key IS NULL AND worker IS NULL),
           jsonb_agg(DISTINCT jsonb_build_array(owner, brand, flow, order_key)) FILTER (WHERE order_key IS NOT NULL)
      INTO made, woken, ordered
      FROM new;

    IF ordered IS NOT NULL THEN
        woken := woken || (SELECT array_agg(flow_next_in_order(k ->> 0, k ->> 1, k ->> 2, k ->> 3))
                             FROM jsonb_array_elements(ordered) AS k);
    END IF;
    IF woken IS NOT NULL THEN
        PERFORM flow_wake(woken);
    END IF;

    IF cardinality(made) = jsonb_array_length(starts) THEN
        -- All are new, and their numbers were given out in the order of the starts.
        RETURN QUERY SELECT n.ordinality::integer - 1, n.id, true FROM unnest(made) WITH ORDINALITY AS n (id, ordinality);
        RETURN;
    END IF;
    RETURN QUERY
    SELECT s.ordinality::integer - 1, r.id,
           r.id = ANY (coalesce(made, '{}')) AND s.ordinality = min(s.ordinality) OVER (PARTITION BY r.id)
      FROM ROWS FROM (jsonb_to_recordset(starts) AS (owner text, brand text, flow text, key text))
           WITH ORDINALITY AS s
      JOIN flow_run r ON r.owner = s.owner AND r.brand = s.brand AND r.flow = s.flow AND r.business_key = s.key
     ORDER BY s.ordinality;
END $$;

-- Sends a word to a run; kept until the run asks for it. Null: no such run. True: new.
CREATE OR REPLACE FUNCTION flow_signal_send(
    in_owner text, in_brand text, in_flow text, in_key text, in_name text, in_signal_key text, in_payload jsonb)
RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan TO off AS $$
DECLARE
    target flow_run;
BEGIN
    SELECT * INTO target FROM flow_run
     WHERE owner = in_owner AND brand = in_brand AND flow = in_flow AND business_key = in_key
       FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    INSERT INTO flow_signal (run_id, name, key, payload) VALUES (target.id, in_name, in_signal_key, in_payload)
    ON CONFLICT (run_id, name, key) DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF target.state = 'waiting' AND in_name = ANY (target.waiting_for) THEN
        UPDATE flow_run
           SET state = 'ready', waiting_for = '{}', wake_at = clock_timestamp(), updated_at = clock_timestamp()
         WHERE id = target.id;
        PERFORM flow_wake(ARRAY[target.lane]);
    END IF;
    RETURN true;
END $$;

-- Takes for each run the oldest word of these names that it has not heard; holds the runs' row locks until the commit.
DROP FUNCTION IF EXISTS flow_signal_take(bigint, text[]);
CREATE OR REPLACE FUNCTION flow_signal_take(run_ids bigint[], in_names text[])
RETURNS SETOF flow_signal
LANGUAGE plpgsql SET enable_seqscan TO off AS $$
BEGIN
    PERFORM 1 FROM flow_run WHERE id = ANY (run_ids) ORDER BY id FOR UPDATE;
    RETURN QUERY
    UPDATE flow_signal SET consumed_at = clock_timestamp()
     WHERE id IN (SELECT DISTINCT ON (s.run_id) s.id FROM flow_signal s
                   WHERE s.run_id = ANY (run_ids) AND s.name = ANY (in_names) AND s.consumed_at IS NULL
                   ORDER BY s.run_id, s.id)
    RETURNING *;
END $$;

-- Those of these runs that have to wait: no word of these names is there that they have not heard, and nobody asks them
-- to stop. Holds the runs' row locks until the commit, so that what comes now finds them waiting.
CREATE OR REPLACE FUNCTION flow_may_wait(run_ids bigint[], in_names text[])
RETURNS SETOF bigint
LANGUAGE plpgsql SET enable_seqscan TO off AS $$
BEGIN
    PERFORM 1 FROM flow_run WHERE id = ANY (run_ids) ORDER BY id FOR UPDATE;
    RETURN QUERY
    SELECT r.id FROM flow_run r
     WHERE r.id = ANY (run_ids) AND NOT r.cancel_requested
       AND NOT EXISTS (SELECT FROM flow_signal s
                        WHERE s.run_id = r.id AND s.name = ANY (in_names) AND s.consumed_at IS NULL);
END $$;

-- Asks these runs to stop and take back what they did; those that rest are woken to hear it.
CREATE OR REPLACE FUNCTION flow_cancel(ids bigint[]) RETURNS void
LANGUAGE plpgsql SET enable_seqscan TO off AS $$
DECLARE
    woken text[];
BEGIN
    PERFORM 1 FROM flow_run WHERE id = ANY (ids) ORDER BY id FOR UPDATE;
    WITH asked AS (
        UPDATE flow_run
           SET cancel_requested = true, updated_at = clock_timestamp(),
               state = CASE state WHEN 'running' THEN 'running' ELSE 'ready' END,
               waiting_for = '{}',
               wake_at = CASE state WHEN 'running' THEN wake_at ELSE clock_timestamp() END
         WHERE id = ANY (ids) AND state NOT IN ('done', 'undone') AND NOT cancel_requested
        RETURNING lane, state)
    SELECT array_agg(DISTINCT lane) FILTER (WHERE state = 'ready') INTO woken FROM asked;
    PERFORM flow_wake(woken);
END $$;
