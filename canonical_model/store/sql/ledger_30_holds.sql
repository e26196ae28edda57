-- Holds: units of lots that are kept for somebody. A hold ends once: posted, voided or expired.

-- Lock accounts of members and arrears, and all others of the wallets that they are in, in the order of their ids.
CREATE OR REPLACE FUNCTION ledger_lock_wallets_of(p_accounts bigint[]) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    PERFORM FROM ledger_account AS account
    WHERE account.id = ANY (ARRAY(
        SELECT own.id FROM ledger_account AS named
        JOIN ledger_account AS own
            ON own.asset_id = named.asset_id AND own.wallet = named.wallet AND own.kind IN ('member', 'arrears')
        WHERE named.id = ANY (p_accounts) AND named.kind IN ('member', 'arrears')))
    ORDER BY account.id FOR NO KEY UPDATE;
END
$$;

-- The account of a holder, made if it is new.
CREATE OR REPLACE FUNCTION ledger_account_of(p_asset bigint, p_kind text, p_holder text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_id bigint;
BEGIN
    SELECT id INTO v_id FROM ledger_account WHERE asset_id = p_asset AND kind = p_kind AND holder = p_holder;
    IF v_id IS NULL THEN
        PERFORM ledger_lock_new(asset.owner, p_holder) FROM ledger_asset AS asset
        WHERE asset.id = p_asset AND p_kind IN ('member', 'arrears');
        INSERT INTO ledger_account (asset_id, kind, holder, wallet)
        SELECT p_asset, p_kind, p_holder, ledger_wallet_of(asset.owner, p_holder)
        FROM ledger_asset AS asset WHERE asset.id = p_asset
        ON CONFLICT DO NOTHING;
        SELECT id INTO STRICT v_id FROM ledger_account
        WHERE asset_id = p_asset AND kind = p_kind AND holder = p_holder;
    END IF;
    RETURN v_id;
END
$$;

-- Number a transfer and write it down. Its key was looked for under the locks: who finds it taken now met somebody who
-- wrote the same key for other wallets, and tries again.
CREATE OR REPLACE FUNCTION ledger_add_transfer(
    p_owner text, p_brand text, p_key text, p_fingerprint bytea, p_kind text, p_reference text, p_reverses bigint,
    p_rules_version integer, p_happened_at timestamptz, p_now timestamptz, p_detail jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_id bigint;
BEGIN
    INSERT INTO ledger_transfer (
        owner, brand, key, fingerprint, kind, reference, reverses, rules_version, happened_at, recorded_at, detail)
    VALUES (
        p_owner, p_brand, p_key, p_fingerprint, p_kind, p_reference, p_reverses, p_rules_version, p_happened_at, p_now,
        p_detail)
    ON CONFLICT DO NOTHING
    RETURNING id INTO v_id;
    IF v_id IS NULL THEN
        RAISE EXCEPTION 'the key % was used at the same moment', p_key USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN v_id;
END
$$;

-- The postings of a transfer, in the order given; those of nothing are left out.
CREATE OR REPLACE FUNCTION ledger_add_postings(
    p_transfer bigint, p_accounts bigint[], p_lots bigint[], p_amounts bigint[]) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO ledger_posting (transfer_id, line, account_id, lot_id, amount)
    SELECT p_transfer, row_number() OVER (ORDER BY line.number), line.account_id, line.lot_id, line.amount
    FROM unnest(p_accounts, p_lots, p_amounts) WITH ORDINALITY AS line (account_id, lot_id, amount, number)
    WHERE line.amount <> 0
$$;

-- Keep units of a wallet, of at most p_most lots. outcome: done, repeated, conflict, unknown (the asset is somebody
-- else's), insufficient (then what is available), limit (it takes more lots; then what p_most of them have).
CREATE OR REPLACE FUNCTION ledger_hold_units(
    p_owner text, p_brand text, p_key text, p_fingerprint bytea, p_asset bigint, p_holder text, p_amount bigint,
    p_reference text, p_happened_at timestamptz, p_expires_at timestamptz, p_now timestamptz, p_most integer,
    OUT outcome text, OUT id bigint, OUT available bigint)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    v_wallet text;
    v_known bytea;
    v_of bigint[];
    v_lots bigint;
BEGIN
    PERFORM ledger_keep_wallets(p_owner);
    IF NOT EXISTS (SELECT FROM ledger_asset AS asset WHERE asset.id = p_asset AND asset.owner = p_owner) THEN
        outcome := 'unknown';
        RETURN;
    END IF;
    v_wallet := ledger_wallet_of(p_owner, p_holder);
    PERFORM FROM ledger_account AS account
    WHERE account.asset_id = p_asset AND account.wallet = v_wallet AND account.kind IN ('member', 'arrears')
    ORDER BY account.id FOR NO KEY UPDATE;

    SELECT hold.id, hold.fingerprint INTO id, v_known FROM ledger_hold AS hold
    WHERE hold.owner = p_owner AND hold.brand = p_brand AND hold.key = p_key;
    IF FOUND THEN
        outcome := CASE WHEN v_known = p_fingerprint THEN 'repeated' ELSE 'conflict' END;
        RETURN;
    END IF;

    v_of := ARRAY(
        SELECT account.id FROM ledger_account AS account
        WHERE account.asset_id = p_asset AND account.wallet = v_wallet AND account.kind = 'member');
    SELECT coalesce(sum(lot.remaining - lot.held), 0)::bigint, count(*) INTO available, v_lots FROM points_lot AS lot
    WHERE lot.account_id = ANY (v_of) AND lot.is_open AND lot.due > p_happened_at AND lot.remaining > lot.held;
    IF available < p_amount THEN
        outcome := 'insufficient';
        RETURN;
    END IF;
    IF v_lots > p_most THEN
        SELECT sum(first.units)::bigint INTO available FROM (
            SELECT lot.remaining - lot.held AS units FROM points_lot AS lot
            WHERE lot.account_id = ANY (v_of) AND lot.is_open AND lot.due > p_happened_at AND lot.remaining > lot.held
            ORDER BY lot.due, lot.id LIMIT p_most
        ) AS first;
        IF available < p_amount THEN
            outcome := 'limit';
            RETURN;
        END IF;
    END IF;

    INSERT INTO ledger_hold (
        owner, brand, key, fingerprint, asset_id, wallet, reference, amount, happened_at, expires_at, created_at)
    VALUES (
        p_owner, p_brand, p_key, p_fingerprint, p_asset, v_wallet, p_reference, p_amount, p_happened_at, p_expires_at,
        p_now)
    ON CONFLICT DO NOTHING
    RETURNING ledger_hold.id INTO id;
    IF id IS NULL THEN
        RAISE EXCEPTION 'the key % was used at the same moment', p_key USING ERRCODE = 'serialization_failure';
    END IF;
    WITH free AS (
        SELECT lot.id, lot.account_id, lot.remaining - lot.held AS units,
            sum(lot.remaining - lot.held) OVER (ORDER BY lot.due, lot.id) AS upto
        FROM points_lot AS lot
        WHERE lot.account_id = ANY (v_of) AND lot.is_open AND lot.due > p_happened_at AND lot.remaining > lot.held
    ), pinned AS (
        INSERT INTO ledger_hold_lot (hold_id, lot_id, amount)
        SELECT ledger_hold_units.id, free.id, least(free.units, p_amount - (free.upto - free.units)) FROM free
        WHERE free.upto - free.units < p_amount
        RETURNING lot_id, amount
    ), kept AS (
        UPDATE points_lot AS lot SET held = lot.held + pinned.amount FROM pinned WHERE lot.id = pinned.lot_id
        RETURNING lot.account_id, pinned.amount
    )
    UPDATE ledger_account AS account SET held = account.held + sums.units
    FROM (SELECT account_id, sum(amount)::bigint AS units FROM kept GROUP BY account_id) AS sums
    WHERE account.id = sums.account_id;
    outcome := 'done';
END
$$;

-- No longer keep what these holds pin. Their accounts are locked.
CREATE OR REPLACE FUNCTION ledger_unpin(p_holds bigint[]) RETURNS void
LANGUAGE sql AS $$
    WITH freed AS (
        UPDATE points_lot AS lot SET held = lot.held - pinned.amount
        FROM (
            SELECT lot_id, sum(amount)::bigint AS amount FROM ledger_hold_lot WHERE hold_id = ANY (p_holds)
            GROUP BY lot_id
        ) AS pinned
        WHERE lot.id = pinned.lot_id
        RETURNING lot.account_id, pinned.amount
    )
    UPDATE ledger_account AS account SET held = account.held - sums.units
    FROM (SELECT account_id, sum(amount)::bigint AS units FROM freed GROUP BY account_id) AS sums
    WHERE account.id = sums.account_id
$$;

-- The accounts whose lots these holds pin, locked in the order of their ids.
CREATE OR REPLACE FUNCTION ledger_lock_pinned(p_holds bigint[]) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    PERFORM FROM ledger_account AS account
    WHERE account.id = ANY (ARRAY(
        SELECT DISTINCT lot.account_id FROM ledger_hold_lot AS pinned JOIN points_lot AS lot ON lot.id = pinned.lot_id
        WHERE pinned.hold_id = ANY (p_holds)))
    ORDER BY account.id FOR NO KEY UPDATE;
END
$$;

-- End those of the holds that are still active (to expire: and due) without posting; which they were.
CREATE OR REPLACE FUNCTION ledger_end_holds(p_holds bigint[], p_state text, p_now timestamptz) RETURNS SETOF bigint
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_ended bigint[];
BEGIN
    PERFORM ledger_lock_pinned(p_holds);
    WITH ended AS (
        UPDATE ledger_hold SET state = p_state, ended_at = p_now
        WHERE id = ANY (p_holds) AND state = 'active' AND (p_state <> 'expired' OR expires_at <= p_now)
        RETURNING id
    )
    SELECT coalesce(array_agg(id ORDER BY id), '{}') INTO v_ended FROM ended;
    PERFORM ledger_unpin(v_ended);
    RETURN QUERY SELECT unnest(v_ended);
END
$$;

-- Post p_amount of what a hold keeps, the earliest due first; the rest is free. p_command: what apply takes, its takes
-- left out. outcome: done, repeated, conflict, missing, unknown (an asset of somebody else's), ended (state says how).
CREATE OR REPLACE FUNCTION ledger_post_hold(
    p_owner text, p_brand text, p_hold_key text, p_amount bigint, p_now timestamptz, p_fingerprint bytea,
    p_command jsonb, OUT outcome text, OUT id bigint, OUT state text)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    v_hold ledger_hold;
    v_known bytea;
    v_give jsonb;
    v_of bigint;
    v_lot bigint;
    v_left bigint;
    v_owed record;
    v_accounts bigint[];
    v_lots bigint[];
    v_amounts bigint[];
BEGIN
    PERFORM ledger_keep_wallets(p_owner);
    SELECT * INTO v_hold FROM ledger_hold AS hold
    WHERE hold.owner = p_owner AND hold.brand = p_brand AND hold.key = p_hold_key;
    IF NOT FOUND THEN
        outcome := 'missing';
        RETURN;
    END IF;
    IF EXISTS (
        SELECT FROM jsonb_array_elements(p_command -> 'gives' || (p_command -> 'moves')) AS line
        WHERE NOT EXISTS (
            SELECT FROM ledger_asset AS asset
            WHERE asset.id = (line ->> 'asset_id')::bigint AND asset.owner = p_owner))
    THEN
        outcome := 'unknown';
        RETURN;
    END IF;
    PERFORM ledger_lock_wallets_of(ARRAY(
        SELECT lot.account_id FROM ledger_hold_lot AS pinned JOIN points_lot AS lot ON lot.id = pinned.lot_id
        WHERE pinned.hold_id = v_hold.id
        UNION
        SELECT ledger_account_of((give ->> 'asset_id')::bigint, 'member', give ->> 'holder')
        FROM jsonb_array_elements(p_command -> 'gives') AS give));

    SELECT transfer.id, transfer.fingerprint INTO id, v_known FROM ledger_transfer AS transfer
    WHERE transfer.owner = p_owner AND transfer.brand = p_brand AND transfer.key = p_command ->> 'key';
    IF FOUND THEN
        outcome := CASE WHEN v_known = p_fingerprint THEN 'repeated' ELSE 'conflict' END;
        RETURN;
    END IF;
    SELECT hold.state INTO state FROM ledger_hold AS hold WHERE hold.id = v_hold.id FOR UPDATE;
    IF state <> 'active' THEN
        outcome := 'ended';
        RETURN;
    END IF;

    PERFORM ledger_unpin(ARRAY[v_hold.id]);
    id := ledger_add_transfer(
        p_owner, p_brand, p_command ->> 'key', p_fingerprint, p_command ->> 'kind', p_command ->> 'reference', NULL,
        (p_command ->> 'rules_version')::integer, (p_command ->> 'happened_at')::timestamptz, p_now,
        p_command -> 'detail');
    SELECT array_agg(pin.account_id ORDER BY pin.due, pin.lot_id), array_agg(pin.lot_id ORDER BY pin.due, pin.lot_id),
        array_agg(-least(pin.amount, p_amount - (pin.upto - pin.amount)) ORDER BY pin.due, pin.lot_id)
    INTO v_accounts, v_lots, v_amounts
    FROM (
        SELECT lot.account_id, pinned.lot_id, pinned.amount, lot.due,
            (sum(pinned.amount) OVER (ORDER BY lot.due, lot.id))::bigint AS upto
        FROM ledger_hold_lot AS pinned JOIN points_lot AS lot ON lot.id = pinned.lot_id
        WHERE pinned.hold_id = v_hold.id
    ) AS pin
    WHERE pin.upto - pin.amount < p_amount;

    FOR v_give IN SELECT jsonb_array_elements(p_command -> 'gives') LOOP
        v_of := ledger_account_of((v_give ->> 'asset_id')::bigint, 'member', v_give ->> 'holder');
        v_left := v_give ->> 'amount';
        INSERT INTO points_lot (account_id, transfer_id, issuer, cost_micro, earned_at, expires_at, amount)
        VALUES (
            v_of, id, v_give ->> 'issuer', (v_give ->> 'cost_micro')::bigint,
            (p_command ->> 'happened_at')::timestamptz, (v_give ->> 'expires_at')::timestamptz, v_left)
        RETURNING points_lot.id INTO v_lot;
        v_accounts := v_accounts || v_of;
        v_lots := v_lots || v_lot;
        v_amounts := v_amounts || v_left;
        FOR v_owed IN
            SELECT arrears.id, -arrears.balance - coalesce((
                SELECT sum(line.amount)::bigint FROM unnest(v_accounts, v_amounts) AS line (account_id, amount)
                WHERE line.account_id = arrears.id), 0) AS units
            FROM ledger_account AS own JOIN ledger_account AS arrears
                ON arrears.asset_id = own.asset_id AND arrears.wallet = own.wallet AND arrears.kind = 'arrears'
            WHERE own.id = v_of ORDER BY arrears.holder COLLATE "C"
        LOOP
            CONTINUE WHEN v_left = 0 OR v_owed.units = 0;
            v_accounts := v_accounts || v_of || v_owed.id;
            v_lots := v_lots || v_lot || NULL::bigint;
            v_amounts := v_amounts || -least(v_left, v_owed.units) || least(v_left, v_owed.units);
            v_left := v_left - least(v_left, v_owed.units);
        END LOOP;
    END LOOP;
    FOR v_give IN SELECT jsonb_array_elements(p_command -> 'moves') LOOP
        v_accounts := v_accounts
            || ledger_account_of((v_give ->> 'asset_id')::bigint, v_give ->> 'kind', v_give ->> 'holder');
        v_lots := v_lots || NULL::bigint;
        v_amounts := v_amounts || (v_give ->> 'amount')::bigint;
    END LOOP;
    PERFORM ledger_add_postings(id, v_accounts, v_lots, v_amounts);
    UPDATE ledger_hold AS hold SET state = 'posted', posted = p_amount, transfer_id = ledger_post_hold.id,
        ended_at = p_now
    WHERE hold.id = v_hold.id;
    outcome := 'done';
END
$$;
