-- Expiry: what is due and not kept leaves its lot, at the moment at which it was due, whenever that is noted.

-- The key of an expiry of an account's lots that were due at a moment: numbered where there was one before (units whose
-- hold ended later).
CREATE OR REPLACE FUNCTION ledger_expiry_key(p_owner text, p_brand text, p_code text, p_holder text, p_due timestamptz)
RETURNS text
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_key text := 'expire:' || p_code || ':' || p_holder || ':'
        || to_char(p_due AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
    v_tried text := v_key;
    v_number integer := 1;
BEGIN
    WHILE EXISTS (SELECT FROM ledger_transfer WHERE owner = p_owner AND brand = p_brand AND key = v_tried) LOOP
        v_number := v_number + 1;
        v_tried := v_key || '#' || v_number;
    END LOOP;
    RETURN v_tried;
END
$$;

-- Expire what is free of those of the lots that were due by p_as_of; how many they were. Their accounts are locked.
CREATE OR REPLACE FUNCTION ledger_expire_these(p_owner text, p_lots bigint[], p_as_of timestamptz, p_now timestamptz)
RETURNS bigint
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_count bigint;
BEGIN
    PERFORM ledger_account_of(issuer.asset_id, 'expired', issuer.issuer) FROM (
        SELECT DISTINCT account.asset_id, lot.issuer
        FROM points_lot AS lot JOIN ledger_account AS account ON account.id = lot.account_id
        WHERE lot.id = ANY (p_lots) ORDER BY 1, 2
    ) AS issuer;
    WITH lot AS MATERIALIZED (
        SELECT lot.id, lot.account_id, lot.issuer, lot.due, lot.remaining - lot.held AS units, account.asset_id
        FROM points_lot AS lot JOIN ledger_account AS account ON account.id = lot.account_id
        WHERE lot.id = ANY (p_lots) AND lot.is_open AND lot.due <= p_as_of AND lot.remaining > lot.held
    ), entry AS MATERIALIZED (
        SELECT day.account_id, day.due, asset.brand, day.lots,
            ledger_expiry_key(p_owner, asset.brand, asset.code, account.holder, day.due) AS key
        FROM (SELECT account_id, due, count(*) AS lots FROM lot GROUP BY account_id, due) AS day
        JOIN ledger_account AS account ON account.id = day.account_id
        JOIN ledger_asset AS asset ON asset.id = account.asset_id
    ), added AS (
        INSERT INTO ledger_transfer (owner, brand, key, fingerprint, kind, happened_at, recorded_at, detail)
        SELECT p_owner, brand, key, sha256(convert_to(key, 'UTF8')), 'expire', due, p_now,
            jsonb_build_object('lots', lots)
        FROM entry ORDER BY due, account_id
        RETURNING id, brand, key
    ), line AS (
        SELECT added.id AS transfer_id, 1 AS side, lot.id AS lot_id, lot.account_id, -lot.units AS amount
        FROM lot JOIN entry USING (account_id, due) JOIN added USING (brand, key)
        UNION ALL
        SELECT added.id, 2, NULL, expired.id, sum(lot.units)::bigint
        FROM lot JOIN entry USING (account_id, due) JOIN added USING (brand, key)
        JOIN ledger_account AS expired
            ON expired.asset_id = lot.asset_id AND expired.kind = 'expired' AND expired.holder = lot.issuer
        GROUP BY added.id, expired.id
    ), posted AS (
        INSERT INTO ledger_posting (transfer_id, line, account_id, lot_id, amount)
        SELECT transfer_id, row_number() OVER (PARTITION BY transfer_id ORDER BY side, lot_id, account_id),
            account_id, lot_id, amount
        FROM line
    )
    SELECT count(*) INTO v_count FROM lot;
    RETURN v_count;
END
$$;

-- Expire up to p_limit lots of an owner that were due by p_as_of, the earliest due first; how many.
CREATE OR REPLACE FUNCTION ledger_expire_lots(p_owner text, p_as_of timestamptz, p_now timestamptz, p_limit integer)
RETURNS bigint
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_lots bigint[];
BEGIN
    v_lots := ARRAY(
        SELECT lot.id FROM points_lot AS lot
        JOIN ledger_account AS account ON account.id = lot.account_id
        JOIN ledger_asset AS asset ON asset.id = account.asset_id AND asset.owner = p_owner
        WHERE lot.is_open AND lot.due <= p_as_of AND lot.remaining > lot.held
        ORDER BY lot.due, lot.id LIMIT p_limit);
    PERFORM FROM ledger_account AS account
    WHERE account.id IN (SELECT account_id FROM points_lot WHERE id = ANY (v_lots))
    ORDER BY account.id FOR NO KEY UPDATE;
    RETURN ledger_expire_these(p_owner, v_lots, p_as_of, p_now);
END
$$;
