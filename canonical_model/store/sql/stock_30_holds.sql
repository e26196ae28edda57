-- Holds: goods promised to the lines of parcels. Each function locks the levels first, then the holds.

-- The active holds of references.
CREATE OR REPLACE FUNCTION stock_holds_of(p_owner text, p_brand text, p_references text[]) RETURNS bigint[]
LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(hold.id), '{}') FROM unnest(p_references) AS asked (reference) CROSS JOIN LATERAL (
        SELECT id FROM stock_hold
        WHERE owner = p_owner AND brand = p_brand AND reference = asked.reference AND state = 'active'
        OFFSET 0
    ) AS hold
$$;

-- Note in the feed that these levels changed; movements note themselves.
CREATE OR REPLACE FUNCTION note_stock_changes(p_levels bigint[]) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO stock_change (id, owner, brand, level_id)
    SELECT nextval('stock_movement_id_seq'), owner, brand, id FROM stock_level WHERE id = ANY (p_levels)
$$;

-- Give back the parcel slots of references that are through: of whose holds none is active and none has shipped.
-- p_holds: holds that ended just now.
CREATE OR REPLACE FUNCTION free_place_slots(p_holds bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM place_day WHERE (location_id, day) IN (
        SELECT slot.location_id, slot.day FROM stock_hold AS hold CROSS JOIN LATERAL (
            SELECT location_id, day FROM place_slot
            WHERE owner = hold.owner AND brand = hold.brand AND reference = hold.reference
            OFFSET 0
        ) AS slot
        WHERE hold.id = ANY (p_holds))
    ORDER BY location_id, day FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    WITH freed AS (
        DELETE FROM place_slot AS slot USING (
            SELECT DISTINCT owner, brand, reference FROM stock_hold WHERE id = ANY (p_holds)
        ) AS ended
        WHERE slot.owner = ended.owner AND slot.brand = ended.brand AND slot.reference = ended.reference
            AND NOT EXISTS (
                SELECT FROM stock_hold AS hold
                WHERE hold.owner = ended.owner AND hold.brand = ended.brand AND hold.reference = ended.reference
                    AND hold.state IN ('active', 'shipped')
                OFFSET 0)
        RETURNING slot.location_id, slot.day
    )
    UPDATE place_day AS load SET parcels = load.parcels - sums.slots
    FROM (SELECT location_id, day, count(*) AS slots FROM freed GROUP BY location_id, day) AS sums
    WHERE load.location_id = sums.location_id AND load.day = sums.day;
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
    v_lacking bigint[];
    v_changed bigint[];
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
        RETURNING id
    )
    SELECT array_agg(said.line_no ORDER BY said.line_no), array_agg(said.id) FILTER (WHERE said.shipped = 0),
        (SELECT array_agg(id) FROM changed)
    FROM said INTO ended, v_lacking, v_changed;
    PERFORM note_stock_changes(v_changed);
    PERFORM free_place_slots(v_lacking);
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
    v_ended bigint[];
    v_changed bigint[];
BEGIN
    SELECT array_agg(DISTINCT level_id) INTO v_levels FROM stock_hold WHERE id = ANY (p_holds);
    PERFORM lock_stock_levels(v_levels);
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
        RETURNING id
    )
    SELECT (SELECT array_agg(id) FROM live), (SELECT array_agg(id) FROM freed) INTO v_ended, v_changed;
    IF v_ended IS NOT NULL THEN
        PERFORM note_stock_changes(v_changed);
        PERFORM free_place_slots(v_ended);
        PERFORM settle_stock_shortfalls(v_levels, NULL);
        RETURN QUERY SELECT unnest(v_ended);
    END IF;
END
$$;
