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
    v_lots bigint[];
    v_accounts bigint[];
    v_expired bigint[];
    v_units bigint[];
    v_dues timestamptz[];
    v_entries bigint[];
    v_ids bigint[];
BEGIN
    PERFORM ledger_account_of(issuer.asset_id, 'expired', issuer.issuer) FROM (
        SELECT DISTINCT account.asset_id, lot.issuer
        FROM points_lot AS lot JOIN ledger_account AS account ON account.id = lot.account_id
        WHERE lot.id = ANY (p_lots) ORDER BY 1, 2
    ) AS issuer;
    -- One entry for each moment and account.
    SELECT array_agg(due.id ORDER BY due.entry, due.id), array_agg(due.account_id ORDER BY due.entry, due.id),
        array_agg(due.expired_id ORDER BY due.entry, due.id), array_agg(due.units ORDER BY due.entry, due.id),
        array_agg(due.due ORDER BY due.entry, due.id), array_agg(due.entry ORDER BY due.entry, due.id)
    INTO v_lots, v_accounts, v_expired, v_units, v_dues, v_entries
    FROM (
        SELECT lot.id, lot.account_id, lot.due, lot.remaining - lot.held AS units, expired.id AS expired_id,
            dense_rank() OVER (ORDER BY lot.due, account.asset_id, account.holder COLLATE "C") AS entry
        FROM points_lot AS lot
        JOIN ledger_account AS account ON account.id = lot.account_id
        CROSS JOIN LATERAL (
            SELECT id FROM ledger_account
            WHERE asset_id = account.asset_id AND kind = 'expired' AND holder = lot.issuer
            OFFSET 0
        ) AS expired
        WHERE lot.id = ANY (p_lots) AND lot.is_open AND lot.due <= p_as_of AND lot.remaining > lot.held
    ) AS due;
    IF v_lots IS NULL THEN
        RETURN 0;
    END IF;
    WITH added AS (
        INSERT INTO ledger_transfer (owner, brand, key, fingerprint, kind, happened_at, recorded_at, detail)
        SELECT p_owner, asset.brand, named.key, sha256(convert_to(named.key, 'UTF8')), 'expire', entry.due, p_now,
            jsonb_build_object('lots', entry.lots)
        FROM (
            SELECT entry, min(account_id) AS account_id, min(due) AS due, count(*) AS lots
            FROM unnest(v_entries, v_accounts, v_dues) AS line (entry, account_id, due) GROUP BY entry
        ) AS entry
        JOIN ledger_account AS account ON account.id = entry.account_id
        JOIN ledger_asset AS asset ON asset.id = account.asset_id
        CROSS JOIN LATERAL (
            SELECT ledger_expiry_key(p_owner, asset.brand, asset.code, account.holder, entry.due) AS key
            OFFSET 0
        ) AS named
        ORDER BY entry.entry
        RETURNING id
    )
    SELECT array_agg(id ORDER BY id) INTO v_ids FROM added;
    INSERT INTO ledger_posting (transfer_id, line, account_id, lot_id, amount)
    SELECT v_ids[line.entry],
        row_number() OVER (PARTITION BY line.entry ORDER BY line.lot_id NULLS LAST, line.first_lot),
        line.account_id, line.lot_id, line.amount
    FROM (
        SELECT entry, account_id, lot_id, NULL::bigint AS first_lot, -units AS amount
        FROM unnest(v_entries, v_accounts, v_lots, v_units) AS taken (entry, account_id, lot_id, units)
        UNION ALL
        SELECT entry, expired_id, NULL, min(lot_id), sum(units)::bigint
        FROM unnest(v_entries, v_expired, v_lots, v_units) AS gone (entry, expired_id, lot_id, units)
        GROUP BY entry, expired_id
    ) AS line;
    RETURN cardinality(v_lots);
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
        WHERE lot.is_open AND lot.due <= p_as_of AND lot.remaining > lot.held AND EXISTS (
            SELECT FROM ledger_account AS account JOIN ledger_asset AS asset ON asset.id = account.asset_id
            WHERE account.id = lot.account_id AND asset.owner = p_owner
            OFFSET 0)
        ORDER BY lot.due, lot.id LIMIT p_limit);
    PERFORM FROM ledger_account AS account
    WHERE account.id IN (SELECT account_id FROM points_lot WHERE id = ANY (v_lots))
    ORDER BY account.id FOR NO KEY UPDATE;
    RETURN ledger_expire_these(p_owner, v_lots, p_as_of, p_now);
END
$$;
