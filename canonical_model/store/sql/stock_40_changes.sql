-- The change feed: movements and the other changes of a level number themselves from one sequence.

-- The entries with a number above p_after, up to p_until, of all brands. The mark that trimming leaves is none.
CREATE OR REPLACE FUNCTION stock_changes_between(p_after bigint, p_until bigint)
RETURNS TABLE (id bigint, owner text, brand text, level_id bigint, recorded_at timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT id, owner, brand, level_id, recorded_at FROM stock_movement WHERE id > p_after AND id <= p_until
    UNION ALL
    SELECT id, owner, brand, level_id, recorded_at FROM stock_change
    WHERE id > p_after AND id <= p_until AND level_id <> 0
$$;

-- Up to which number changes were trimmed: the oldest row that is left is then a mark, of no level.
CREATE OR REPLACE FUNCTION stock_changes_trimmed() RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT coalesce((
        SELECT oldest.id FROM (SELECT id, level_id FROM stock_change ORDER BY id LIMIT 1) AS oldest
        WHERE oldest.level_id = 0), 0)
$$;
