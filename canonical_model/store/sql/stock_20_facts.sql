-- Stock facts of one message, from the temporary table stock_fact into levels, movements, lots and observations.
-- docs/architecture.md, "Stock", says the rules. stock_fact exists only in sessions that bring facts.
SET check_function_bodies = off;

-- The facts with the ids their codes stand for; NULL where the crosswalk does not know a code.
-- OFFSET 0 keeps a caller's filters out of the join: PostgreSQL has no statistics of a temporary table, would take
-- two filters to leave one row, and then join everything with everything.
CREATE OR REPLACE FUNCTION resolved_stock_facts(
    p_owner text, p_brand text, p_system text, p_sku_scheme text, p_location_scheme text)
RETURNS TABLE (
    "position" integer, sku text, location text, sku_id bigint, location_id bigint, authoritative boolean,
    kind text, quality text, quantity bigint, as_of timestamptz, sequence bigint, source_id text, reason text,
    batch text, produced_on date, expires_on date, order_refs text[], summed boolean)
LANGUAGE sql STABLE AS $$
    SELECT fact.position, fact.sku, fact.location, sku.inner_id, place.inner_id, place.authority = p_system,
        fact.kind, fact.quality, fact.quantity, fact.as_of, fact.sequence, fact.source_id, fact.reason,
        fact.batch, fact.produced_on, fact.expires_on, fact.order_refs, fact.summed
    FROM stock_fact AS fact
    LEFT JOIN crosswalk AS sku
        ON sku.owner = p_owner AND sku.brand = p_brand AND sku.scheme = p_sku_scheme AND sku.kind = 'sku'
        AND sku.outside_id = fact.sku
    LEFT JOIN (
        SELECT name.outside_id, name.inner_id, location.authority
        FROM crosswalk AS name JOIN location ON location.id = name.inner_id
        WHERE name.owner = p_owner AND name.brand = p_brand AND name.scheme = p_location_scheme
            AND name.kind = 'location'
    ) AS place ON place.outside_id = fact.location
    OFFSET 0
$$;

-- Whether what came (sequence, as_of) is older than what is known: by sequence where both have one, else by as_of.
CREATE OR REPLACE FUNCTION stock_is_older(
    came_sequence bigint, came_at timestamptz, known_sequence bigint, known_at timestamptz) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN came_sequence IS NOT NULL AND known_sequence IS NOT NULL THEN came_sequence < known_sequence
        ELSE came_at < known_at
    END
$$;

-- Whether a snapshot contains a delta. A tie in time is read so that the lower figure stands.
CREATE OR REPLACE FUNCTION stock_contains_delta(
    snapshot_sequence bigint, snapshot_at timestamptz, delta_sequence bigint, delta_at timestamptz, delta bigint)
RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN snapshot_sequence IS NOT NULL AND delta_sequence IS NOT NULL THEN delta_sequence <= snapshot_sequence
        ELSE delta_at < snapshot_at OR (delta_at = snapshot_at AND delta > 0)
    END
$$;

-- Sum of the deltas already applied to a level that a snapshot does not contain.
CREATE OR REPLACE FUNCTION stock_deltas_after(p_level bigint, p_system text, p_sequence bigint, p_as_of timestamptz)
RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(delta), 0)::bigint FROM stock_movement
    WHERE level_id = p_level AND source_id IS NOT NULL
        AND NOT stock_contains_delta(
            p_sequence, p_as_of, CASE WHEN system = p_system THEN sequence END, occurred_at, delta)
$$;

-- The authority's latest snapshot of each level, as the columns of stock_level, in the order in which levels are locked.
CREATE OR REPLACE FUNCTION latest_stock_snapshots(
    p_owner text, p_brand text, p_system text, p_message text, p_sku_scheme text, p_location_scheme text,
    p_figure text, p_proof text, p_skew interval)
RETURNS TABLE (
    owner text, brand text, sku_id bigint, location_id bigint, quality text, on_hand bigint, moved bigint, system text,
    figure text, as_of timestamptz, sequence bigint, proves_until timestamptz, proves_sequence bigint, message_id text)
LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (sku_id, location_id, quality)
        p_owner, p_brand, sku_id, location_id, quality, quantity, quantity, p_system, p_figure, as_of, sequence,
        CASE WHEN p_proof <> 'order_refs' THEN as_of - p_skew END,
        CASE WHEN p_proof = 'sequence' THEN sequence END, p_message
    FROM resolved_stock_facts(p_owner, p_brand, p_system, p_sku_scheme, p_location_scheme)
    WHERE authoritative AND sku_id IS NOT NULL AND kind = 'snapshot' AND batch IS NULL
    ORDER BY sku_id, location_id, quality, sequence DESC NULLS LAST, as_of DESC, position DESC
$$;

-- Snapshots of the authority: the latest of each level replaces its figure, unless it is older than what is known.
-- applied counts levels.
CREATE OR REPLACE FUNCTION apply_stock_snapshots(
    p_owner text, p_brand text, p_system text, p_message text, p_sku_scheme text, p_location_scheme text,
    p_figure text, p_proof text, p_skew interval, OUT applied bigint, OUT held_levels bigint[])
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    WITH level AS (
        INSERT INTO stock_level AS known (
            owner, brand, sku_id, location_id, quality, on_hand, moved, system, figure, as_of, sequence,
            proves_until, proves_sequence, message_id)
        SELECT * FROM latest_stock_snapshots(
            p_owner, p_brand, p_system, p_message, p_sku_scheme, p_location_scheme, p_figure, p_proof, p_skew)
        ON CONFLICT (owner, brand, sku_id, location_id, quality) DO UPDATE SET
            on_hand = excluded.on_hand + CASE WHEN known.last_delta_at IS NULL THEN 0
                ELSE stock_deltas_after(known.id, p_system, excluded.sequence, excluded.as_of) END,
            moved = excluded.on_hand - known.on_hand + CASE WHEN known.last_delta_at IS NULL THEN 0
                ELSE stock_deltas_after(known.id, p_system, excluded.sequence, excluded.as_of) END,
            system = excluded.system, figure = excluded.figure, as_of = excluded.as_of, sequence = excluded.sequence,
            proves_until = excluded.proves_until, proves_sequence = excluded.proves_sequence,
            message_id = excluded.message_id, updated_at = excluded.updated_at
        WHERE known.as_of IS NULL OR NOT stock_is_older(
            excluded.sequence, excluded.as_of,
            CASE WHEN known.system = excluded.system THEN known.sequence END, known.as_of)
        RETURNING id, on_hand, moved, held, as_of
    ), movement AS (
        INSERT INTO stock_movement (owner, brand, level_id, delta, on_hand, reason, system, message_id, occurred_at)
        SELECT p_owner, p_brand, id, moved, on_hand, 'snapshot', p_system, p_message, as_of
        FROM level WHERE moved <> 0
    )
    SELECT count(*), array_agg(id) FILTER (WHERE held > 0) FROM level INTO applied, held_levels;
END
$$;

-- Whether none of a sample of the levels that the facts speak of is known, as when a place is loaded for the first time.
-- Subqueries in the SELECT list, not joins: however little PostgreSQL knows of the tables, each is an index look-up.
CREATE OR REPLACE FUNCTION stock_levels_look_new(
    p_owner text, p_brand text, p_sku_scheme text, p_location_scheme text, p_every bigint) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT count((
        SELECT id FROM stock_level
        WHERE owner = p_owner AND brand = p_brand AND sku_id = fact.sku_id AND location_id = fact.location_id
            AND quality = fact.quality
    )) = 0
    FROM (
        SELECT quality,
            (SELECT inner_id FROM crosswalk WHERE owner = p_owner AND brand = p_brand AND scheme = p_sku_scheme
                AND kind = 'sku' AND outside_id = sku) AS sku_id,
            (SELECT inner_id FROM crosswalk WHERE owner = p_owner AND brand = p_brand AND scheme = p_location_scheme
                AND kind = 'location' AND outside_id = location) AS location_id
        FROM stock_fact WHERE position % p_every = 0 OFFSET 0
    ) AS fact
$$;

-- The same snapshots where every level is new, which PostgreSQL stores with a third less work than levels that may be
-- known. NULL, and nothing changed, when one is known after all or was added meanwhile.
CREATE OR REPLACE FUNCTION add_stock_snapshots(
    p_owner text, p_brand text, p_system text, p_message text, p_sku_scheme text, p_location_scheme text,
    p_figure text, p_proof text, p_skew interval) RETURNS bigint
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_added bigint;
BEGIN
    WITH level AS (
        INSERT INTO stock_level (
            owner, brand, sku_id, location_id, quality, on_hand, moved, system, figure, as_of, sequence,
            proves_until, proves_sequence, message_id)
        SELECT * FROM latest_stock_snapshots(
            p_owner, p_brand, p_system, p_message, p_sku_scheme, p_location_scheme, p_figure, p_proof, p_skew)
        RETURNING id, on_hand, as_of
    ), movement AS (
        INSERT INTO stock_movement (owner, brand, level_id, delta, on_hand, reason, system, message_id, occurred_at)
        SELECT p_owner, p_brand, id, on_hand, on_hand, 'snapshot', p_system, p_message, as_of
        FROM level WHERE on_hand <> 0
    )
    SELECT count(*) FROM level INTO v_added;
    RETURN v_added;
EXCEPTION WHEN unique_violation THEN
    RETURN NULL;
END
$$;

-- Deltas of the authority, each applied once by its source id, unless the level's snapshot already contains it.
-- A delta proves no shipment but those it names: earlier ones may still be under way.
CREATE OR REPLACE FUNCTION apply_stock_deltas(
    p_owner text, p_brand text, p_system text, p_message text, p_sku_scheme text, p_location_scheme text,
    p_figure text, OUT applied bigint, OUT held_levels bigint[])
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    INSERT INTO stock_level (owner, brand, sku_id, location_id, quality, system, figure, message_id)
    SELECT DISTINCT p_owner, p_brand, sku_id, location_id, quality, p_system, p_figure, p_message
    FROM resolved_stock_facts(p_owner, p_brand, p_system, p_sku_scheme, p_location_scheme)
    WHERE authoritative AND sku_id IS NOT NULL AND kind = 'delta'
    ORDER BY sku_id, location_id, quality
    ON CONFLICT (owner, brand, sku_id, location_id, quality) DO NOTHING;

    WITH delta AS (
        SELECT DISTINCT ON (fact.source_id) fact.*, level.id AS level_id
        FROM resolved_stock_facts(p_owner, p_brand, p_system, p_sku_scheme, p_location_scheme) AS fact
        JOIN stock_level AS level
            ON level.owner = p_owner AND level.brand = p_brand AND level.sku_id = fact.sku_id
            AND level.location_id = fact.location_id AND level.quality = fact.quality
        WHERE fact.authoritative AND fact.kind = 'delta'
            AND (level.as_of IS NULL OR NOT stock_contains_delta(
                CASE WHEN level.system = p_system THEN level.sequence END, level.as_of,
                fact.sequence, fact.as_of, fact.quantity))
            AND NOT EXISTS (
                SELECT FROM stock_movement AS known
                WHERE known.owner = p_owner AND known.brand = p_brand AND known.system = p_system
                    AND known.source_id = fact.source_id)
        ORDER BY fact.source_id, fact.position
    ), locked AS MATERIALIZED (
        SELECT id, on_hand, held FROM stock_level WHERE id IN (SELECT level_id FROM delta)
        ORDER BY owner, brand, sku_id, location_id, quality FOR UPDATE
    ), movement AS (
        INSERT INTO stock_movement (
            owner, brand, level_id, delta, on_hand, reason, system, source_id, sequence, message_id, occurred_at)
        SELECT p_owner, p_brand, level_id, quantity,
            locked.on_hand + sum(quantity) OVER (PARTITION BY level_id ORDER BY sequence, as_of, position),
            coalesce(reason, 'delta'), p_system, source_id, sequence, p_message, as_of
        FROM delta JOIN locked ON locked.id = delta.level_id
    ), moved AS (
        UPDATE stock_level AS level SET
            on_hand = level.on_hand + sums.quantity, moved = sums.quantity, message_id = p_message,
            last_delta_at = greatest(level.last_delta_at, sums.as_of), updated_at = clock_timestamp()
        FROM (
            SELECT level_id, sum(quantity) AS quantity, max(as_of) AS as_of FROM delta GROUP BY level_id
        ) AS sums JOIN locked ON locked.id = sums.level_id
        WHERE level.id = sums.level_id
        RETURNING level.id, level.held
    )
    SELECT (SELECT count(*) FROM delta), (SELECT array_agg(id) FROM moved WHERE held > 0) INTO applied, held_levels;
END
$$;

-- Several lots of one (SKU, place, quality) are one figure: their sum joins the facts as a row without a batch.
-- Lots counted at the same moment but brought by an earlier page of the same snapshot are part of it.
CREATE OR REPLACE FUNCTION sum_stock_lots(
    p_owner text, p_brand text, p_system text, p_sku_scheme text, p_location_scheme text) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    WITH lot AS (
        SELECT DISTINCT ON (sku_id, location_id, quality, batch) *
        FROM resolved_stock_facts(p_owner, p_brand, p_system, p_sku_scheme, p_location_scheme)
        WHERE authoritative AND sku_id IS NOT NULL AND kind = 'snapshot' AND batch IS NOT NULL
        ORDER BY sku_id, location_id, quality, batch, sequence DESC NULLS LAST, as_of DESC, position DESC
    ), summed AS (
        SELECT sku_id, location_id, quality, max(position) AS position, min(sku) AS sku, min(location) AS location,
            sum(quantity) AS quantity, min(as_of) AS as_of, min(sequence) AS sequence,
            array_agg(batch) AS batches
        FROM lot GROUP BY sku_id, location_id, quality
    )
    INSERT INTO stock_fact (position, sku, location, kind, quality, quantity, as_of, sequence, summed)
    SELECT summed.position, sku, location, 'snapshot', summed.quality,
        quantity + coalesce((
            SELECT sum(other.on_hand) FROM stock_lot AS other
            WHERE other.level_id = level.id AND other.as_of = summed.as_of AND other.batch <> ALL (batches)), 0),
        summed.as_of, summed.sequence, true
    FROM summed LEFT JOIN stock_level AS level
        ON level.owner = p_owner AND level.brand = p_brand AND level.sku_id = summed.sku_id
        AND level.location_id = summed.location_id AND level.quality = summed.quality
        AND level.as_of = summed.as_of AND level.system = p_system;
END
$$;

-- Keep the lots of the levels that this message set, and drop those that its count no longer has.
-- Returns how many facts beyond one a level they were.
CREATE OR REPLACE FUNCTION keep_stock_lots(
    p_owner text, p_brand text, p_system text, p_message text, p_sku_scheme text, p_location_scheme text)
RETURNS bigint
LANGUAGE sql SET plan_cache_mode = force_custom_plan AS $$
    WITH lot AS (
        SELECT DISTINCT ON (level.id, fact.batch) level.id AS level_id, fact.*
        FROM resolved_stock_facts(p_owner, p_brand, p_system, p_sku_scheme, p_location_scheme) AS fact
        JOIN stock_level AS level
            ON level.owner = p_owner AND level.brand = p_brand AND level.sku_id = fact.sku_id
            AND level.location_id = fact.location_id AND level.quality = fact.quality
            AND level.message_id = p_message AND level.as_of <= fact.as_of
        WHERE fact.authoritative AND fact.kind = 'snapshot' AND fact.batch IS NOT NULL
        ORDER BY level.id, fact.batch, fact.sequence DESC NULLS LAST, fact.as_of DESC, fact.position DESC
    ), kept AS (
        INSERT INTO stock_lot AS known (level_id, batch, produced_on, expires_on, on_hand, as_of)
        SELECT level_id, batch, produced_on, expires_on, quantity, as_of FROM lot
        ON CONFLICT (level_id, batch) DO UPDATE SET
            produced_on = coalesce(excluded.produced_on, known.produced_on),
            expires_on = coalesce(excluded.expires_on, known.expires_on),
            on_hand = excluded.on_hand, as_of = excluded.as_of
    ), gone AS (
        DELETE FROM stock_lot AS known USING (SELECT level_id, min(as_of) AS as_of FROM lot GROUP BY level_id) AS counted
        WHERE known.level_id = counted.level_id AND known.as_of < counted.as_of
            AND NOT EXISTS (SELECT FROM lot WHERE lot.level_id = known.level_id AND lot.batch = known.batch)
    )
    SELECT count(*) - count(DISTINCT level_id) FROM lot
$$;

-- What a system without authority says is kept for comparison: the latest of each kind of figure.
CREATE OR REPLACE FUNCTION observe_stock(
    p_owner text, p_brand text, p_system text, p_message text, p_sku_scheme text, p_location_scheme text, p_figure text)
RETURNS void
LANGUAGE sql SET plan_cache_mode = force_custom_plan AS $$
    WITH observed AS (
        SELECT *, CASE kind WHEN 'delta' THEN 'delta' ELSE p_figure END AS figure
        FROM resolved_stock_facts(p_owner, p_brand, p_system, p_sku_scheme, p_location_scheme)
        WHERE NOT authoritative AND sku_id IS NOT NULL
    ), lot AS (
        SELECT DISTINCT ON (sku_id, location_id, quality, figure, batch) *
        FROM observed
        ORDER BY sku_id, location_id, quality, figure, batch, sequence DESC NULLS LAST, as_of DESC, position DESC
    )
    INSERT INTO stock_observation AS known (
        owner, brand, system, sku_id, location_id, quality, figure, quantity, as_of, sequence, message_id)
    SELECT p_owner, p_brand, p_system, sku_id, location_id, quality, figure,
        sum(quantity), min(as_of), min(sequence), p_message
    FROM lot GROUP BY sku_id, location_id, quality, figure
    ORDER BY sku_id, location_id, quality, figure
    ON CONFLICT (owner, brand, system, sku_id, location_id, quality, figure) DO UPDATE SET
        quantity = excluded.quantity, as_of = excluded.as_of, sequence = excluded.sequence,
        message_id = excluded.message_id, recorded_at = excluded.recorded_at
    WHERE NOT stock_is_older(excluded.sequence, excluded.as_of, known.sequence, known.as_of)
$$;

-- Note which held parcels the authority's figures name; the levels concerned, locked.
CREATE OR REPLACE FUNCTION name_stock_holds(
    p_owner text, p_brand text, p_system text, p_sku_scheme text, p_location_scheme text) RETURNS bigint[]
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_levels bigint[];
BEGIN
    WITH named AS (
        UPDATE stock_hold AS hold SET named = true
        FROM (
            SELECT DISTINCT sku_id, location_id, quality, unnest(order_refs) AS reference
            FROM resolved_stock_facts(p_owner, p_brand, p_system, p_sku_scheme, p_location_scheme)
            WHERE authoritative AND sku_id IS NOT NULL AND order_refs IS NOT NULL
        ) AS fact
        JOIN stock_level AS level
            ON level.owner = p_owner AND level.brand = p_brand AND level.sku_id = fact.sku_id
            AND level.location_id = fact.location_id AND level.quality = fact.quality
        WHERE hold.owner = p_owner AND hold.brand = p_brand AND hold.reference = fact.reference
            AND hold.level_id = level.id AND NOT hold.named
        RETURNING hold.level_id
    )
    SELECT array_agg(DISTINCT level_id) FROM named INTO v_levels;
    PERFORM lock_stock_levels(v_levels);
    RETURN v_levels;
END
$$;

-- Positions of the authority's facts that changed nothing: older than the level they found, or overtaken in the message.
CREATE OR REPLACE FUNCTION ignored_stock_facts(
    p_owner text, p_brand text, p_system text, p_message text, p_sku_scheme text, p_location_scheme text)
RETURNS SETOF integer
LANGUAGE sql STABLE SET plan_cache_mode = force_custom_plan AS $$
    WITH fact AS MATERIALIZED (
        SELECT fact.*, level.id AS level_id, level.as_of AS level_as_of, level.sequence AS level_sequence
        FROM resolved_stock_facts(p_owner, p_brand, p_system, p_sku_scheme, p_location_scheme) AS fact
        JOIN stock_level AS level
            ON level.owner = p_owner AND level.brand = p_brand AND level.sku_id = fact.sku_id
            AND level.location_id = fact.location_id AND level.quality = fact.quality
        WHERE fact.authoritative AND NOT fact.summed
    ), snapshot AS (
        SELECT *, row_number() OVER (
            PARTITION BY level_id, batch ORDER BY sequence DESC NULLS LAST, as_of DESC, position DESC) AS rank
        FROM fact WHERE kind = 'snapshot'
    ), delta AS (
        SELECT *, row_number() OVER (PARTITION BY source_id ORDER BY position) AS rank FROM fact WHERE kind = 'delta'
    )
    SELECT position FROM snapshot
    WHERE rank > 1 OR CASE WHEN batch IS NULL
        THEN level_as_of <> as_of OR level_sequence IS DISTINCT FROM sequence
        ELSE NOT EXISTS (
            SELECT FROM stock_lot AS lot
            WHERE lot.level_id = snapshot.level_id AND lot.batch = snapshot.batch AND lot.as_of = snapshot.as_of)
    END
    UNION ALL
    SELECT position FROM delta
    WHERE rank > 1 OR NOT EXISTS (
        SELECT FROM stock_movement AS movement
        WHERE movement.owner = p_owner AND movement.brand = p_brand AND movement.system = p_system
            AND movement.source_id = delta.source_id AND movement.message_id = p_message)
    ORDER BY 1
$$;

-- Facts of one system about one place go one transaction after another, so that snapshots and deltas of a level see
-- each other; places share 256 locks, taken in order. A message that names a place not known yet goes alone: the
-- place may become known while it is applied.
CREATE OR REPLACE FUNCTION lock_stock_places(p_owner text, p_brand text, p_system text, p_location_scheme text)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_system text := concat_ws(chr(31), 'stock', p_owner, p_brand, p_system);
    v_places bigint[];
BEGIN
    SELECT array_agg(DISTINCT place.inner_id % 256 ORDER BY place.inner_id % 256)
    FROM (SELECT DISTINCT location FROM stock_fact) AS fact
    LEFT JOIN crosswalk AS place
        ON place.owner = p_owner AND place.brand = p_brand AND place.scheme = p_location_scheme
        AND place.kind = 'location' AND place.outside_id = fact.location
    INTO v_places;
    IF array_position(v_places, NULL) IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(v_system, 0));
    ELSE
        PERFORM pg_advisory_xact_lock_shared(hashtextextended(v_system, 0));
        FOR i IN 1 .. coalesce(array_length(v_places, 1), 0) LOOP
            PERFORM pg_advisory_xact_lock(hashtextextended(concat_ws(chr(31), v_system, v_places[i]), 0));
        END LOOP;
    END IF;
END
$$;

-- All of one message.
CREATE OR REPLACE FUNCTION apply_stock_facts(
    p_owner text, p_brand text, p_system text, p_message text, p_sku_scheme text, p_location_scheme text,
    p_figure text, p_proof text, p_skew interval, p_total bigint, p_lots boolean, p_deltas boolean, p_names boolean,
    OUT applied bigint, OUT observed bigint, OUT unresolved bigint, OUT shortfalls bigint[])
LANGUAGE plpgsql AS $$
DECLARE
    c_bulk CONSTANT bigint := 500;
    c_sample CONSTANT bigint := 16;
    v_held bigint[];
    v_more bigint[];
    v_extra bigint;
BEGIN
    PERFORM lock_stock_places(p_owner, p_brand, p_system, p_location_scheme);
    IF p_lots THEN
        PERFORM sum_stock_lots(p_owner, p_brand, p_system, p_sku_scheme, p_location_scheme);
    END IF;
    IF p_total >= c_bulk AND stock_levels_look_new(
            p_owner, p_brand, p_sku_scheme, p_location_scheme, p_total / c_sample) THEN
        applied := add_stock_snapshots(
            p_owner, p_brand, p_system, p_message, p_sku_scheme, p_location_scheme, p_figure, p_proof, p_skew);
    END IF;
    IF applied IS NULL THEN
        SELECT * FROM apply_stock_snapshots(
            p_owner, p_brand, p_system, p_message, p_sku_scheme, p_location_scheme, p_figure, p_proof, p_skew)
            INTO applied, v_held;
    END IF;
    IF p_lots THEN
        applied := applied + keep_stock_lots(
            p_owner, p_brand, p_system, p_message, p_sku_scheme, p_location_scheme);
    END IF;
    IF p_deltas THEN
        SELECT * FROM apply_stock_deltas(
            p_owner, p_brand, p_system, p_message, p_sku_scheme, p_location_scheme, p_figure) INTO v_extra, v_more;
        applied := applied + v_extra;
        v_held := v_held || v_more;
    END IF;
    IF p_names THEN
        v_held := v_held || name_stock_holds(p_owner, p_brand, p_system, p_sku_scheme, p_location_scheme);
    END IF;
    observed := 0;
    unresolved := 0;
    IF applied < p_total THEN
        SELECT count(*) FILTER (WHERE sku_id IS NOT NULL AND NOT authoritative),
            count(*) FILTER (WHERE sku_id IS NULL OR location_id IS NULL)
        INTO observed, unresolved
        FROM resolved_stock_facts(p_owner, p_brand, p_system, p_sku_scheme, p_location_scheme);
    END IF;
    IF observed > 0 THEN
        PERFORM observe_stock(p_owner, p_brand, p_system, p_message, p_sku_scheme, p_location_scheme, p_figure);
    END IF;
    IF v_held IS NOT NULL THEN
        PERFORM prove_stock_holds(v_held);
        SELECT array_agg(id) FROM settle_stock_shortfalls(v_held, p_message) INTO shortfalls;
    END IF;
END
$$;
