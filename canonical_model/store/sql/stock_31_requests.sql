-- Requests for holds: many are decided in one call, one after another in their order, each all or nothing.

DROP FUNCTION IF EXISTS hold_stock(text, text, bigint, text[], integer[], bigint[], bigint[], timestamptz);
DROP FUNCTION IF EXISTS stock_hold_used(text, text, bigint, text[], integer[], bigint[], bigint[]);

-- Units of a level that no hold has laid claim to and that expire on a day or later. What left since the lots were
-- counted may have left any lot, and so may what shipped and is not proven yet.
CREATE OR REPLACE FUNCTION stock_left_until(p_level bigint, p_day date) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT greatest(0, lots.lasting - greatest(0, lots.units - level.on_hand)) - (
        SELECT coalesce(sum(hold.deducting), 0) FROM stock_hold AS hold
        WHERE hold.level_id = p_level AND hold.deducting > 0
            AND (hold.min_expiry >= p_day OR hold.state = 'shipped'))::bigint
    FROM stock_level AS level CROSS JOIN LATERAL (
        SELECT coalesce(sum(lot.on_hand), 0)::bigint AS units,
            coalesce(sum(lot.on_hand) FILTER (WHERE lot.expires_on >= p_day), 0)::bigint AS lasting
        FROM stock_lot AS lot WHERE lot.level_id = p_level AND lot.as_of >= level.as_of
    ) AS lots
    WHERE level.id = p_level
$$;

-- Units of a level that can be had for somebody whose goods must not expire before a day, whatever others were
-- promised: no earlier day that a hold asks for may come to lack any.
CREATE OR REPLACE FUNCTION stock_lasting(p_level bigint, p_day date) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT min(stock_left_until(p_level, cutoff.day)) FROM (
        SELECT p_day AS day
        UNION
        SELECT min_expiry FROM stock_hold WHERE level_id = p_level AND deducting > 0 AND min_expiry < p_day
    ) AS cutoff
$$;

-- The parcel slots that lines ask for: one a reference, where its place is one of p_places.
CREATE OR REPLACE FUNCTION asked_place_slots(
    p_requests integer[], p_references text[], p_levels bigint[], p_places bigint[])
RETURNS TABLE (request integer, reference text, location_id bigint)
LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (line.reference) line.request, line.reference, level.location_id
    FROM unnest(p_requests, p_references, p_levels) AS line (request, reference, level_id)
    JOIN stock_level AS level ON level.id = line.level_id
    WHERE level.location_id = ANY (p_places)
    ORDER BY line.reference, level.location_id
$$;

-- Lock the days of the places with a capacity that p_levels are at, and those of replaced parcels. Returns the places.
CREATE OR REPLACE FUNCTION lock_place_days(
    p_owner text, p_brand text, p_days date[], p_levels bigint[], p_replaced text[]) RETURNS bigint[]
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_places bigint[];
BEGIN
    SELECT array_agg(DISTINCT place.id) INTO v_places
    FROM stock_level AS level JOIN location AS place ON place.id = level.location_id
    WHERE level.id = ANY (p_levels) AND place.capacity IS NOT NULL AND level.owner = p_owner AND level.brand = p_brand;
    IF v_places IS NULL AND cardinality(p_replaced) = 0 THEN
        RETURN NULL;
    END IF;
    INSERT INTO place_day (location_id, day, parcels)
    SELECT DISTINCT place.id, asked.day, 0 FROM unnest(v_places) AS place (id), unnest(p_days) AS asked (day)
    ORDER BY 1, 2
    ON CONFLICT DO NOTHING;
    PERFORM FROM place_day WHERE (location_id, day) IN (
        SELECT place.id, asked.day FROM unnest(v_places) AS place (id), unnest(p_days) AS asked (day)
        UNION ALL
        SELECT slot.location_id, slot.day FROM unnest(p_replaced) AS replaced (reference) CROSS JOIN LATERAL (
            SELECT location_id, day FROM place_slot
            WHERE owner = p_owner AND brand = p_brand AND reference = replaced.reference
            OFFSET 0
        ) AS slot)
    ORDER BY location_id, day FOR UPDATE;
    RETURN v_places;
END
$$;

-- For every request that wants or frees something scarce: those things, numbered, what is left of each before anybody
-- is served, and how many units the request wants and frees. p_out: requests answered already.
CREATE OR REPLACE FUNCTION contested_stock_requests(
    p_owner text, p_brand text, p_days date[], p_replacing integer[], p_replaced text[], p_requests integer[],
    p_references text[], p_levels bigint[], p_quantities bigint[], p_min_expiries date[], p_places bigint[],
    p_out integer[])
RETURNS TABLE (
    request integer, things bigint[], kinds text[], ids bigint[], lefts bigint[], units bigint[], freed bigint[])
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    v_dated boolean := cardinality(array_remove(p_min_expiries, NULL)) > 0;
BEGIN
    RETURN QUERY
    WITH line AS MATERIALIZED (
        SELECT * FROM unnest(p_requests, p_levels, p_quantities, p_min_expiries)
            AS line (request, level_id, quantity, min_expiry)
        WHERE line.request <> ALL (p_out)
    ), cutoff AS (
        SELECT level_id, min_expiry AS day FROM line WHERE v_dated AND min_expiry IS NOT NULL
        UNION
        SELECT hold.level_id, hold.min_expiry FROM stock_hold AS hold
        WHERE v_dated AND hold.deducting > 0 AND hold.min_expiry IS NOT NULL
            AND hold.level_id IN (SELECT level_id FROM line WHERE min_expiry IS NOT NULL)
    ), wanted AS MATERIALIZED (
        SELECT request, 'units' AS kind, level_id AS id, '-infinity'::date AS day, sum(quantity) AS units
        FROM line GROUP BY request, level_id
        UNION ALL
        SELECT line.request, 'dated', cutoff.level_id, cutoff.day, sum(line.quantity)
        FROM line JOIN cutoff ON cutoff.level_id = line.level_id AND cutoff.day <= line.min_expiry
        WHERE v_dated GROUP BY line.request, cutoff.level_id, cutoff.day
        UNION ALL
        SELECT slot.request, 'slots', slot.location_id, p_days[slot.request], count(*)
        FROM asked_place_slots(p_requests, p_references, p_levels, p_places) AS slot
        WHERE p_places IS NOT NULL AND slot.request <> ALL (p_out)
        GROUP BY slot.request, slot.location_id
    ), thing AS MATERIALIZED (
        SELECT row_number() OVER () AS number, kind, id, day, amount FROM (
            SELECT kind, id, day, sum(units) AS units, coalesce(CASE kind
                WHEN 'units' THEN (
                    SELECT on_hand - safety - held FROM stock_level AS level
                    WHERE level.id = wanted.id AND level.owner = p_owner AND level.brand = p_brand)
                WHEN 'dated' THEN stock_left_until(id, day)
                ELSE (
                    SELECT place.capacity - load.parcels FROM location AS place
                    JOIN place_day AS load ON load.location_id = place.id AND load.day = wanted.day
                    WHERE place.id = wanted.id)
                END, -1) AS amount
            FROM wanted GROUP BY kind, id, day
        ) AS sums WHERE units > amount
    ), moved AS (
        SELECT wanted.request, thing.number, wanted.units, 0::numeric AS freed
        FROM wanted JOIN thing USING (kind, id, day)
        UNION ALL
        SELECT replacing.request, thing.number, 0, hold.deducting
        FROM unnest(p_replacing, p_replaced) AS replacing (request, reference)
        CROSS JOIN LATERAL (
            SELECT level_id, deducting, min_expiry FROM stock_hold
            WHERE owner = p_owner AND brand = p_brand AND reference = replacing.reference AND state = 'active'
            OFFSET 0
        ) AS hold
        JOIN thing ON thing.id = hold.level_id
            AND (thing.kind = 'units' OR (thing.kind = 'dated' AND thing.day <= hold.min_expiry))
        WHERE replacing.request <> ALL (p_out)
        UNION ALL
        SELECT replacing.request, thing.number, 0, 1
        FROM unnest(p_replacing, p_replaced) AS replacing (request, reference)
        CROSS JOIN LATERAL (
            SELECT location_id, day FROM place_slot
            WHERE owner = p_owner AND brand = p_brand AND reference = replacing.reference
            OFFSET 0
        ) AS slot
        JOIN thing ON thing.kind = 'slots' AND thing.id = slot.location_id AND thing.day = slot.day
        WHERE replacing.request <> ALL (p_out) AND NOT EXISTS (
            SELECT FROM stock_hold AS hold
            WHERE hold.owner = p_owner AND hold.brand = p_brand AND hold.reference = replacing.reference
                AND hold.state = 'shipped'
            OFFSET 0)
    )
    SELECT sums.request, array_agg(number ORDER BY number), array_agg(kind ORDER BY number),
        array_agg(id ORDER BY number), array_agg(amount ORDER BY number), array_agg(sums.units ORDER BY number),
        array_agg(sums.freed ORDER BY number)
    FROM (
        SELECT moved.request, number, sum(moved.units)::bigint AS units, sum(moved.freed)::bigint AS freed
        FROM moved GROUP BY moved.request, number
    ) AS sums JOIN thing USING (number)
    GROUP BY sums.request;
END
$$;

-- Write down every request but those of p_out, and end what they replace.
CREATE OR REPLACE FUNCTION keep_stock_requests(
    p_owner text, p_brand text, p_orders bigint[], p_expires timestamptz[], p_days date[], p_replacing integer[],
    p_replaced text[], p_requests integer[], p_references text[], p_lines integer[], p_levels bigint[],
    p_quantities bigint[], p_min_expiries date[], p_places bigint[], p_out integer[]) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    IF cardinality(p_replaced) > 0 THEN
        PERFORM end_stock_holds(stock_holds_of(p_owner, p_brand, ARRAY(
            SELECT replacing.reference FROM unnest(p_replacing, p_replaced) AS replacing (request, reference)
            WHERE replacing.request <> ALL (p_out))), 'released', 'replaced', clock_timestamp());
    END IF;
    WITH line AS MATERIALIZED (
        SELECT * FROM unnest(p_requests, p_references, p_lines, p_levels, p_quantities, p_min_expiries)
            AS line (request, reference, line_no, level_id, quantity, min_expiry)
        WHERE line.request <> ALL (p_out)
    ), held AS (
        INSERT INTO stock_hold (
            owner, brand, order_id, reference, line_no, level_id, quantity, deducting, expires_at, min_expiry)
        SELECT p_owner, p_brand, p_orders[request], reference, line_no, level_id, quantity, quantity,
            p_expires[request], min_expiry
        FROM line
    ), changed AS (
        UPDATE stock_level AS level SET held = level.held + sums.units, updated_at = clock_timestamp()
        FROM (SELECT level_id, sum(quantity) AS units FROM line GROUP BY level_id) AS sums
        WHERE level.id = sums.level_id
        RETURNING level.id
    )
    INSERT INTO stock_change (id, owner, brand, level_id)
    SELECT nextval('stock_movement_id_seq'), p_owner, p_brand, changed.id FROM changed;
    IF p_places IS NOT NULL THEN
        WITH slot AS (
            INSERT INTO place_slot (owner, brand, reference, location_id, day)
            SELECT p_owner, p_brand, reference, location_id, p_days[request]
            FROM asked_place_slots(p_requests, p_references, p_levels, p_places) WHERE request <> ALL (p_out)
            RETURNING location_id, day
        )
        UPDATE place_day AS load SET parcels = load.parcels + sums.slots
        FROM (SELECT location_id, day, count(*) AS slots FROM slot GROUP BY location_id, day) AS sums
        WHERE load.location_id = sums.location_id AND load.day = sums.day;
    END IF;
END
$$;

-- Hold what each request asks for: p_owner's and p_brand's requests have numbers 1, 2, …, and p_orders, p_expires and
-- p_days one element each; p_replacing and p_replaced say whose active holds end for it; the others have one element a
-- line. Returns the requests that got nothing: "conflict" when a reference was used for something else, or was given
-- back; else the levels that have too little, and the places without a slot. One held before is held.
--
-- What is scarce is a level's units, its units that last until a day, and a place's slots of a day. Where all that is
-- asked of it is there, nobody needs to be asked in turn; the requests for the rest are.
--
-- However little PostgreSQL knows of the tables, each reference and level is an index look-up: hence the settings,
-- and subqueries that end in OFFSET 0 or LIMIT 1.
CREATE OR REPLACE FUNCTION hold_stock_requests(
    p_owner text, p_brand text, p_orders bigint[], p_expires timestamptz[], p_days date[],
    p_replacing integer[], p_replaced text[],
    p_requests integer[], p_references text[], p_lines integer[], p_levels bigint[], p_quantities bigint[],
    p_min_expiries date[])
RETURNS TABLE (request integer, conflict boolean, short bigint[], "full" bigint[])
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    v_replaced bigint[];
    v_out integer[];
    v_places bigint[];
    v_left bigint[] := '{}';
    v_asked record;
BEGIN
    IF cardinality(p_replaced) > 0 THEN
        SELECT array_agg(DISTINCT level_id) INTO v_replaced
        FROM unnest(stock_holds_of(p_owner, p_brand, p_replaced)) AS replaced (id) JOIN stock_hold USING (id);
    END IF;
    PERFORM FROM stock_level WHERE id = ANY (p_levels || v_replaced)
    ORDER BY owner, brand, sku_id, location_id, quality FOR UPDATE;

    v_out := ARRAY(
        SELECT DISTINCT line.request FROM unnest(p_requests, p_references) AS line (request, reference)
        CROSS JOIN LATERAL (
            SELECT FROM stock_hold WHERE owner = p_owner AND brand = p_brand AND reference = line.reference LIMIT 1
        ) AS hold);
    IF cardinality(v_out) > 0 THEN
        RETURN QUERY SELECT line.request, true, NULL::bigint[], NULL::bigint[]
            FROM unnest(p_requests, p_references, p_lines, p_levels, p_quantities, p_min_expiries)
                AS line (request, reference, line_no, level_id, quantity, min_expiry)
            LEFT JOIN LATERAL (
                SELECT id FROM stock_hold
                WHERE owner = p_owner AND brand = p_brand AND reference = line.reference AND line_no = line.line_no
                    AND level_id = line.level_id AND quantity = line.quantity
                    AND min_expiry IS NOT DISTINCT FROM line.min_expiry
                    AND order_id IS NOT DISTINCT FROM p_orders[line.request] AND state IN ('active', 'shipped')
                OFFSET 0
            ) AS hold ON true
            WHERE line.request = ANY (v_out)
            GROUP BY line.request
            HAVING count(hold.id) < count(*) OR count(*) <> (
                SELECT count(*) FROM stock_hold AS known
                WHERE known.owner = p_owner AND known.brand = p_brand
                    AND known.reference = ANY (array_agg(line.reference)));
        IF (SELECT bool_and(asked = ANY (v_out)) FROM unnest(p_requests) AS asked) THEN
            RETURN;
        END IF;
    END IF;

    v_places := lock_place_days(p_owner, p_brand, p_days, p_levels, p_replaced);
    FOR v_asked IN
        SELECT * FROM contested_stock_requests(
            p_owner, p_brand, p_days, p_replacing, p_replaced, p_requests, p_references, p_levels, p_quantities,
            p_min_expiries, v_places, v_out)
        ORDER BY request
    LOOP
        short := NULL;
        "full" := NULL;
        FOR i IN 1 .. cardinality(v_asked.things) LOOP
            v_left[v_asked.things[i]] := coalesce(v_left[v_asked.things[i]], v_asked.lefts[i]);
            IF v_asked.units[i] > 0 AND v_asked.units[i] > v_left[v_asked.things[i]] + v_asked.freed[i] THEN
                IF v_asked.kinds[i] = 'slots' THEN
                    "full" := "full" || v_asked.ids[i];
                ELSIF v_asked.ids[i] = ANY (short) IS NOT TRUE THEN
                    short := short || v_asked.ids[i];
                END IF;
            END IF;
        END LOOP;
        IF short IS NULL AND "full" IS NULL THEN
            FOR i IN 1 .. cardinality(v_asked.things) LOOP
                v_left[v_asked.things[i]] := v_left[v_asked.things[i]] + v_asked.freed[i] - v_asked.units[i];
            END LOOP;
        ELSE
            v_out := v_out || v_asked.request;
            request := v_asked.request;
            conflict := false;
            RETURN NEXT;
        END IF;
    END LOOP;
    PERFORM keep_stock_requests(
        p_owner, p_brand, p_orders, p_expires, p_days, p_replacing, p_replaced, p_requests, p_references, p_lines,
        p_levels, p_quantities, p_min_expiries, v_places, v_out);
END
$$;
