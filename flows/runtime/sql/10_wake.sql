-- A wake-up commits with the fact it announces. The relay hears it at once by NOTIFY; the row is for a relay that
-- was not listening.
CREATE OR REPLACE FUNCTION flow_wake(lanes text[]) RETURNS void
LANGUAGE sql AS $$
    WITH told AS (
        INSERT INTO outbox (lane) SELECT DISTINCT name FROM unnest(lanes) AS name WHERE name IS NOT NULL RETURNING lane)
    SELECT pg_notify('yipan_wake', lane) FROM told;
$$;

-- Runs of one order key are serialised by a lock that starting and ending both take.
CREATE OR REPLACE FUNCTION flow_lock_order(owner text, brand text, flow text, order_key text) RETURNS void
LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtextextended(concat_ws(E'\x1f', owner, brand, flow, order_key), 72026));
$$;

-- Lets the first run of an order key go if it waits only for its turn; the lane it became ready in, or null.
CREATE OR REPLACE FUNCTION flow_next_in_order(in_owner text, in_brand text, in_flow text, in_order_key text)
RETURNS text
LANGUAGE plpgsql SET enable_seqscan TO off AS $$
DECLARE
    woken text;
BEGIN
    PERFORM flow_lock_order(in_owner, in_brand, in_flow, in_order_key);
    UPDATE flow_run
       SET state = 'ready', waiting_for = '{}', wake_at = clock_timestamp(), updated_at = clock_timestamp()
     WHERE state = 'waiting' AND waiting_for = '{@order}'
       AND id = (SELECT r.id FROM flow_run r
                  WHERE r.flow = in_flow AND r.order_key = in_order_key
                    AND r.owner = in_owner AND r.brand = in_brand AND r.state NOT IN ('done', 'undone')
                  ORDER BY r.id LIMIT 1)
    RETURNING lane INTO woken;
    RETURN woken;
END $$;

-- Wakes each of these parents whose children have all ended. Its row lock makes two last children take turns.
CREATE OR REPLACE FUNCTION flow_join(parents bigint[]) RETURNS void
LANGUAGE plpgsql SET enable_seqscan TO off AS $$
DECLARE
    woken text[];
BEGIN
    PERFORM 1 FROM flow_run WHERE id = ANY (parents) ORDER BY id FOR UPDATE;
    WITH ready AS (
        UPDATE flow_run p
           SET state = 'ready', waiting_for = '{}', wake_at = clock_timestamp(), updated_at = clock_timestamp()
         WHERE p.id = ANY (parents) AND p.state = 'waiting' AND '@children' = ANY (p.waiting_for)
           AND NOT EXISTS (SELECT 1 FROM flow_run c
                            WHERE c.parent_id = p.id AND c.state NOT IN ('done', 'undone'))
        RETURNING p.lane)
    SELECT array_agg(DISTINCT lane) INTO woken FROM ready;
    PERFORM flow_wake(woken);
END $$;

-- Wakes those who waited for the end of these runs: the next of their order key, and their parents. Of ``ids`` only
-- those that have ended count.
CREATE OR REPLACE FUNCTION flow_ended(ids bigint[]) RETURNS void
LANGUAGE plpgsql SET enable_seqscan TO off AS $$
DECLARE
    parents bigint[];
BEGIN
    PERFORM flow_wake(ARRAY(
        SELECT flow_next_in_order(owner, brand, flow, order_key)
          FROM (SELECT DISTINCT owner, brand, flow, order_key FROM flow_run
                 WHERE id = ANY (ids) AND state IN ('done', 'undone') AND order_key IS NOT NULL) AS ended));
    parents := ARRAY(SELECT DISTINCT parent_id FROM flow_run
                      WHERE id = ANY (ids) AND state IN ('done', 'undone') AND parent_id IS NOT NULL);
    IF parents <> '{}' THEN
        PERFORM flow_join(parents);
    END IF;
END $$;
