-- Holds: goods promised to the lines of parcels. Each function locks the levels first, then the holds.

-- Whether these references were used already: for exactly these lines, or (conflict) for others or for a hold that
-- was given back. A reference is used once.
CREATE OR REPLACE FUNCTION stock_hold_used(
    p_owner text, p_brand text, p_order bigint, p_references text[], p_lines integer[], p_levels bigint[],
    p_quantities bigint[], OUT used boolean, OUT conflict boolean)
LANGUAGE sql STABLE AS $$
    SELECT count(*) > 0, count(*) > 0 AND (
        count(*) <> count(asked.reference) OR count(asked.reference) <> cardinality(p_references))
    FROM stock_hold AS hold
    LEFT JOIN unnest(p_references, p_lines, p_levels, p_quantities) AS asked (reference, line_no, level_id, quantity)
        ON asked.reference = hold.reference AND asked.line_no = hold.line_no AND asked.level_id = hold.level_id
        AND asked.quantity = hold.quantity AND hold.order_id IS NOT DISTINCT FROM p_order AND hold.state IN ('active', 'shipped')
    WHERE hold.owner = p_owner AND hold.brand = p_brand AND hold.reference = ANY (p_references);
$$;

-- Hold every line or none: p_* are parallel arrays, one element a line. "short" are the levels that have too little.
-- The same references with the same lines get the same answer again; "conflict" says they were used for others.
CREATE OR REPLACE FUNCTION hold_stock(
    p_owner text, p_brand text, p_order bigint, p_references text[], p_lines integer[], p_levels bigint[],
    p_quantities bigint[], p_expires timestamptz, OUT conflict boolean, OUT short bigint[])
LANGUAGE plpgsql AS $$
DECLARE
    v_used boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(concat_ws(chr(31), 'hold', p_owner, p_brand, reference), 0))
    FROM (SELECT DISTINCT unnest(p_references) AS reference ORDER BY 1) AS asked;
    SELECT u.used, u.conflict INTO v_used, conflict
    FROM stock_hold_used(p_owner, p_brand, p_order, p_references, p_lines, p_levels, p_quantities) AS u;
    IF v_used THEN
        RETURN;
    END IF;
    PERFORM lock_stock_levels(p_levels);
    SELECT array_agg(level_id) INTO short FROM (
        SELECT asked.level_id
        FROM unnest(p_levels, p_quantities) AS asked (level_id, quantity)
        LEFT JOIN stock_level AS level ON level.id = asked.level_id AND level.owner = p_owner AND level.brand = p_brand
        GROUP BY asked.level_id, level.id
        HAVING coalesce(level.on_hand - level.safety - level.held, -1) < sum(asked.quantity)
        ORDER BY 1
    ) AS lacking;
    IF short IS NOT NULL THEN
        RETURN;
    END IF;
    INSERT INTO stock_hold (
        owner, brand, order_id, reference, line_no, level_id, quantity, deducting, expires_at)
    SELECT p_owner, p_brand, p_order, reference, line_no, level_id, quantity, quantity, p_expires
    FROM unnest(p_references, p_lines, p_levels, p_quantities) AS asked (reference, line_no, level_id, quantity);
    UPDATE stock_level SET held = held + asked.quantity, updated_at = clock_timestamp()
    FROM (
        SELECT level_id, sum(quantity) AS quantity
        FROM unnest(p_levels, p_quantities) AS line (level_id, quantity) GROUP BY level_id
    ) AS asked
    WHERE id = asked.level_id;
END
$$;

-- Note that the authority accepted the parcel: it no longer expires. Returns the lines that were open.
CREATE OR REPLACE FUNCTION accept_stock(
    p_owner text, p_brand text, p_reference text, p_accepted_at timestamptz, p_sequence bigint) RETURNS SETOF integer
LANGUAGE plpgsql AS $$
DECLARE
    v_levels bigint[];
BEGIN
    v_levels := lock_stock_reference(p_owner, p_brand, p_reference);
    RETURN QUERY
        UPDATE stock_hold SET accepted_at = p_accepted_at, accepted_sequence = p_sequence, expires_at = NULL
        WHERE owner = p_owner AND brand = p_brand AND reference = p_reference AND state = 'active'
            AND accepted_at IS NULL
        RETURNING line_no;
    PERFORM prove_stock_holds(v_levels);
    PERFORM settle_stock_shortfalls(v_levels, NULL);
END
$$;

-- Lock the levels of a reference's holds; their ids.
CREATE OR REPLACE FUNCTION lock_stock_reference(p_owner text, p_brand text, p_reference text) RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
    v_levels bigint[];
BEGIN
    SELECT array_agg(DISTINCT level_id) INTO v_levels
    FROM stock_hold WHERE owner = p_owner AND brand = p_brand AND reference = p_reference;
    PERFORM lock_stock_levels(v_levels);
    RETURN v_levels;
END
$$;

-- The goods left. What shipped goes on deducting until proven, what was lacking is free. Goods whose hold was
-- released or had expired left all the same: they deduct again until the figure shows it. Returns the lines ended.
CREATE OR REPLACE FUNCTION ship_stock(
    p_owner text, p_brand text, p_reference text, p_shipped_at timestamptz, p_sequence bigint,
    p_lines integer[], p_shipped bigint[], p_lacking bigint[],
    OUT ended integer[], OUT shortfalls bigint[])
LANGUAGE plpgsql AS $$
DECLARE
    v_levels bigint[];
BEGIN
    v_levels := lock_stock_reference(p_owner, p_brand, p_reference);
    WITH said AS (
        SELECT hold.id, hold.line_no, hold.level_id, hold.deducting AS deducted, line.shipped,
            CASE WHEN line.shipped = 0 THEN 0
                WHEN hold.state <> 'active' THEN line.shipped
                WHEN hold.deducting = 0 THEN 0
                ELSE greatest(line.shipped, hold.quantity - line.lacking) END AS deducting
        FROM unnest(p_lines, p_shipped, p_lacking) AS line (line_no, shipped, lacking)
        JOIN stock_hold AS hold ON hold.owner = p_owner AND hold.brand = p_brand AND hold.reference = p_reference
            AND hold.line_no = line.line_no
        WHERE hold.state = 'active' OR (hold.state IN ('released', 'expired') AND line.shipped > 0)
    ), left_ AS (
        UPDATE stock_hold AS hold SET
            state = CASE WHEN said.shipped > 0 THEN 'shipped' ELSE 'released' END,
            reason = CASE WHEN said.shipped = 0 THEN 'lacking' END,
            shipped = said.shipped, deducting = said.deducting, ended_at = clock_timestamp(),
            shipped_at = CASE WHEN said.shipped > 0 THEN p_shipped_at END,
            shipped_sequence = CASE WHEN said.shipped > 0 THEN p_sequence END
        FROM said WHERE hold.id = said.id
    ), changed AS (
        UPDATE stock_level SET held = held + sums.units, updated_at = clock_timestamp()
        FROM (SELECT level_id, sum(deducting - deducted) AS units FROM said GROUP BY level_id) AS sums
        WHERE id = sums.level_id AND sums.units <> 0
    )
    SELECT array_agg(said.line_no ORDER BY said.line_no) FROM said INTO ended;
    PERFORM prove_stock_holds(v_levels);
    SELECT array_agg(id) FROM settle_stock_shortfalls(v_levels, p_reference) INTO shortfalls;
END
$$;

-- Give back what active holds hold. Returns the ids of those it ended.
CREATE OR REPLACE FUNCTION end_stock_holds(p_holds bigint[], p_state text, p_reason text, p_ended_at timestamptz)
RETURNS SETOF bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_levels bigint[];
BEGIN
    SELECT array_agg(DISTINCT level_id) INTO v_levels FROM stock_hold WHERE id = ANY (p_holds);
    PERFORM lock_stock_levels(v_levels);
    RETURN QUERY
        WITH live AS (
            SELECT id, level_id, deducting FROM stock_hold
            WHERE id = ANY (p_holds) AND state = 'active'
                AND (p_state <> 'expired' OR (expires_at <= p_ended_at AND NOT named))
        ), ended AS (
            UPDATE stock_hold SET state = p_state, reason = p_reason, deducting = 0, ended_at = clock_timestamp()
            FROM live WHERE stock_hold.id = live.id
        ), freed AS (
            UPDATE stock_level SET held = held - sums.units, updated_at = clock_timestamp()
            FROM (SELECT level_id, sum(deducting) AS units FROM live GROUP BY level_id) AS sums
            WHERE stock_level.id = sums.level_id AND sums.units > 0
        )
        SELECT live.id FROM live;
    PERFORM settle_stock_shortfalls(v_levels, NULL);
END
$$;
