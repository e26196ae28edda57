-- What a level's figure proves, and what is short. Callers have locked the levels.

-- Whether a level's figure reaches an event. NULL means: not known, so not proven.
CREATE OR REPLACE FUNCTION stock_reaches(level stock_level, named boolean, happened_at timestamptz, sequence bigint)
RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT happened_at IS NOT NULL AND (named OR CASE
        WHEN sequence IS NOT NULL AND level.proves_sequence IS NOT NULL THEN sequence <= level.proves_sequence
        ELSE happened_at <= level.proves_until
    END)
$$;

-- Whether the authority's figure is proven to contain the shipment of a hold; with figure `available`, its acceptance.
CREATE OR REPLACE FUNCTION stock_contains(hold stock_hold, level stock_level) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN level.figure = 'available'
        THEN stock_reaches(
            level, hold.named,
            coalesce(hold.accepted_at, hold.shipped_at), coalesce(hold.accepted_sequence, hold.shipped_sequence))
        ELSE stock_reaches(level, hold.named, hold.shipped_at, hold.shipped_sequence)
    END
$$;

-- Lock levels in the one order that every writer keeps.
CREATE OR REPLACE FUNCTION lock_stock_levels(p_levels bigint[]) RETURNS void
LANGUAGE sql AS $$
    SELECT FROM stock_level WHERE id = ANY (p_levels) ORDER BY owner, brand, sku_id, location_id, quality FOR UPDATE
$$;

-- End the deduction of every hold whose shipment the figure contains.
CREATE OR REPLACE FUNCTION prove_stock_holds(p_levels bigint[]) RETURNS void
LANGUAGE sql AS $$
    WITH proven AS (
        SELECT hold.id, hold.level_id, hold.deducting
        FROM stock_hold AS hold JOIN stock_level AS level ON level.id = hold.level_id
        WHERE hold.level_id = ANY (p_levels) AND hold.deducting > 0 AND stock_contains(hold, level)
    ), ended AS (
        UPDATE stock_hold SET deducting = 0 FROM proven WHERE stock_hold.id = proven.id
    ), changed AS (
        UPDATE stock_level SET held = held - freed.units, updated_at = clock_timestamp()
        FROM (SELECT level_id, sum(deducting) AS units FROM proven GROUP BY level_id) AS freed
        WHERE stock_level.id = freed.level_id
        RETURNING stock_level.id, owner, brand
    )
    INSERT INTO stock_change (id, owner, brand, level_id)
    SELECT nextval('stock_movement_id_seq'), owner, brand, id FROM changed
$$;

-- Whether a hold surely still wants goods of the figure. Goods that left, or that a figure names, may be gone from it
-- already; with figure `available`, so may goods that were accepted.
CREATE OR REPLACE FUNCTION stock_wants(hold stock_hold, level stock_level) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT hold.state = 'active' AND hold.deducting > 0 AND NOT hold.named
        AND (level.figure <> 'available' OR hold.accepted_at IS NULL)
$$;

-- Bring the open shortfall of each level to what is surely missing now; close it when nothing is.
-- Only a fact opens one: p_cause names it, NULL opens none. Returns those that are open.
CREATE OR REPLACE FUNCTION settle_stock_shortfalls(p_levels bigint[], p_cause text)
RETURNS TABLE (id bigint, level_id bigint, quantity bigint)
LANGUAGE sql AS $$
    WITH level AS (
        SELECT l.id, l.owner, l.brand, least(wanted.units, wanted.units + l.safety - l.on_hand) AS missing
        FROM stock_level AS l CROSS JOIN LATERAL (
            SELECT coalesce(sum(hold.deducting), 0)::bigint AS units FROM stock_hold AS hold
            WHERE hold.level_id = l.id AND stock_wants(hold, l)
        ) AS wanted
        WHERE l.id = ANY (p_levels)
    ), closed AS (
        UPDATE stock_shortfall AS s SET state = 'resolved', resolved_at = clock_timestamp()
        FROM level WHERE s.level_id = level.id AND s.state = 'open' AND level.missing <= 0
    ), changed AS (
        UPDATE stock_shortfall AS s SET quantity = level.missing
        FROM level WHERE s.level_id = level.id AND s.state = 'open' AND level.missing > 0
        RETURNING s.id, s.level_id, s.quantity
    ), opened AS (
        INSERT INTO stock_shortfall (owner, brand, level_id, quantity, message_id)
        SELECT owner, brand, level.id, missing, p_cause FROM level
        WHERE missing > 0 AND p_cause IS NOT NULL AND level.id NOT IN (SELECT changed.level_id FROM changed)
        RETURNING id, level_id, quantity
    )
    SELECT * FROM changed UNION ALL SELECT * FROM opened
$$;
