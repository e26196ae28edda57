-- Feeds: rows that number themselves from a sequence, and are read on from the last number seen.

-- A moment such that whoever may still write a row of a feed began after it. Of rows with a recorded_at, which is read
-- when their number was drawn already, none can appear any more below one that was recorded before that moment: read up
-- to the newest such row. By the ages of transactions alone that cannot be told: one that began earlier may draw later.
-- Ask in a statement of its own, before the one that reads the feed. p_late: writers may draw a number before they have
-- a transaction number, so that every statement under way counts.
CREATE OR REPLACE FUNCTION feed_settled_before(p_late boolean) RETURNS timestamptz
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_stat_clear_snapshot();
    RETURN least(statement_timestamp(), (
        SELECT min(CASE WHEN backend_xid IS NULL THEN query_start ELSE xact_start END)
        FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
            AND (backend_xid IS NOT NULL OR (p_late AND state = 'active'))));
END
$$;
