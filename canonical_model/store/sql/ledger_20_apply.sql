-- Commands: transfers asked for, each made in whole or not at all, once for each key. A single one is decided here, in
-- one call; batches are decided in Python between two calls (ledger_21_batch.sql). Both write by ledger_write.

DROP FUNCTION IF EXISTS ledger_apply_one(text, text, timestamptz, text, jsonb);

-- Before an account is made in a wallet that several holders share: who makes another one there waits until the commit.
-- Two that find none to lock would not see each other.
CREATE OR REPLACE FUNCTION ledger_lock_new(p_owner text, p_holder text) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (SELECT FROM ledger_wallet WHERE owner = p_owner) THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(ledger_wallet_of(p_owner, p_holder), hashtext(p_owner)));
    END IF;
END
$$;

-- The accounts that lines name, made where there are none; NULL for an asset that is not the owner's.
CREATE OR REPLACE FUNCTION ledger_make_accounts(p_owner text, p_assets bigint[], p_kinds text[], p_holders text[])
RETURNS bigint[]
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    v_accounts bigint[];
BEGIN
    FOR i IN 1 .. 2 LOOP
        v_accounts := ARRAY(
            SELECT (
                SELECT account.id FROM ledger_account AS account
                JOIN ledger_asset AS asset ON asset.id = account.asset_id AND asset.owner = p_owner
                WHERE account.asset_id = line.asset_id AND account.kind = line.kind AND account.holder = line.holder)
            FROM unnest(p_assets, p_kinds, p_holders) WITH ORDINALITY AS line (asset_id, kind, holder, number)
            ORDER BY line.number);
        EXIT WHEN i = 2 OR array_position(v_accounts, NULL) IS NULL;
        PERFORM ledger_lock_new(p_owner, line.holder)
        FROM unnest(p_kinds, p_holders, v_accounts) AS line (kind, holder, account_id)
        WHERE line.account_id IS NULL AND line.kind IN ('member', 'arrears') ORDER BY line.holder;
        INSERT INTO ledger_account (asset_id, kind, holder, wallet)
        SELECT DISTINCT line.asset_id, line.kind, line.holder, ledger_wallet_of(p_owner, line.holder)
        FROM unnest(p_assets, p_kinds, p_holders, v_accounts) AS line (asset_id, kind, holder, account_id)
        JOIN ledger_asset AS asset ON asset.id = line.asset_id AND asset.owner = p_owner
        WHERE line.account_id IS NULL
        ORDER BY 1, 2, 3
        ON CONFLICT DO NOTHING;
    END LOOP;
    RETURN v_accounts;
END
$$;

-- Write down the lots that transfers make, p_lefts: with what their own postings leave in them, and all postings.
CREATE OR REPLACE FUNCTION ledger_write(
    p_lots bigint[], p_lot_transfers bigint[], p_lot_accounts bigint[], p_issuers text[], p_costs bigint[],
    p_earned timestamptz[], p_expires timestamptz[], p_lot_amounts bigint[], p_lefts bigint[],
    p_transfers bigint[], p_lines integer[], p_accounts bigint[], p_posted_lots bigint[], p_amounts bigint[])
RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    WITH made AS (
        INSERT INTO points_lot (
            id, account_id, transfer_id, issuer, cost_micro, earned_at, expires_at, amount, remaining)
        SELECT * FROM unnest(
            p_lots, p_lot_accounts, p_lot_transfers, p_issuers, p_costs, p_earned, p_expires, p_lot_amounts, p_lefts)
    )
    INSERT INTO ledger_posting (transfer_id, line, account_id, lot_id, amount)
    SELECT * FROM unnest(p_transfers, p_lines, p_accounts, p_posted_lots, p_amounts);
END
$$;

-- Apply one command. Its lines have a role each: take, owe (a take that may leave arrears), give, or the kind of the
-- account that the amount moves into; takes come first, then gives. p_firsts has one element a take, p_issuers, p_costs
-- and p_expires one a give. outcome: done, repeated, conflict, unknown (an asset or a transfer of somebody else),
-- insufficient (then number: of the line, and what is available for it), limit (it would empty too many lots).
CREATE OR REPLACE FUNCTION ledger_apply_one(
    p_owner text, p_brand text, p_now timestamptz, p_key text, p_fingerprint text, p_kind text, p_reference text,
    p_reverses bigint, p_rules_version integer, p_happened timestamptz, p_detail jsonb,
    p_roles text[], p_assets bigint[], p_holders text[], p_amounts bigint[], p_firsts bigint[], p_issuers text[],
    p_costs bigint[], p_expires timestamptz[],
    OUT outcome text, OUT id bigint, OUT number integer, OUT available bigint)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    v_takes integer := cardinality(p_firsts);
    v_purses integer := v_takes + cardinality(p_issuers);
    v_wallets text[] := '{}';
    v_accounts bigint[] := '{}';
    v_sole boolean[] := '{}';
    v_row record;
    v_lot refcursor;
    v_left bigint;
    v_units bigint;
    v_of bigint[] := '{}';
    v_lots bigint[] := '{}';
    v_amounts bigint[] := '{}';
    v_made bigint[] := '{}';
    v_lefts bigint[] := '{}';
BEGIN
    PERFORM ledger_keep_wallets(p_owner);
    IF v_purses > 1 THEN
        PERFORM FROM ledger_account AS account
        WHERE account.id = ANY (ARRAY(
            SELECT own.id
            FROM unnest(p_assets[:v_purses], p_holders[:v_purses]) AS line (asset_id, holder)
            CROSS JOIN LATERAL (
                SELECT account.id FROM ledger_account AS account
                WHERE account.asset_id = line.asset_id AND account.kind IN ('member', 'arrears')
                    AND account.wallet = coalesce(
                        (SELECT wallet FROM ledger_wallet WHERE owner = p_owner AND holder = line.holder), line.holder)
                OFFSET 0
            ) AS own))
        ORDER BY account.id FOR NO KEY UPDATE;
    END IF;
    FOR i IN 1 .. cardinality(p_roles) LOOP
        IF i > v_purses THEN
            SELECT account.id INTO v_row FROM ledger_account AS account
            JOIN ledger_asset AS asset ON asset.id = account.asset_id AND asset.owner = p_owner
            WHERE account.asset_id = p_assets[i] AND account.kind = p_roles[i] AND account.holder = p_holders[i];
            v_accounts[i] := v_row.id;
        ELSE
            SELECT count(*) FILTER (WHERE locked.kind = 'member') AS members, min(locked.wallet) AS wallet,
                min(locked.id) FILTER (WHERE locked.kind = 'member' AND locked.holder = p_holders[i]) AS id
            INTO v_row
            FROM (
                SELECT account.id, account.kind, account.holder, account.wallet FROM ledger_account AS account
                JOIN ledger_asset AS asset ON asset.id = account.asset_id AND asset.owner = p_owner
                WHERE account.asset_id = p_assets[i] AND account.kind IN ('member', 'arrears')
                    AND account.wallet = coalesce(
                        (SELECT wallet FROM ledger_wallet WHERE owner = p_owner AND holder = p_holders[i]),
                        p_holders[i])
                ORDER BY account.id FOR NO KEY UPDATE OF account
            ) AS locked;
            v_accounts[i] := v_row.id;
            v_wallets[i] := v_row.wallet;
            v_sole[i] := v_row.members = 1 AND v_row.id IS NOT NULL;
        END IF;
        CONTINUE WHEN v_accounts[i] IS NOT NULL;
        IF p_roles[i] = 'take' THEN
            CONTINUE WHEN EXISTS (SELECT FROM ledger_asset AS asset WHERE asset.id = p_assets[i] AND asset.owner = p_owner);
            outcome := 'unknown';
            RETURN;
        END IF;
        v_accounts[i] := (ledger_make_accounts(
            p_owner, p_assets[i:i], ARRAY[CASE WHEN i <= v_purses THEN 'member' ELSE p_roles[i] END],
            p_holders[i:i]))[1];
        IF v_accounts[i] IS NULL THEN
            outcome := 'unknown';
            RETURN;
        END IF;
        CONTINUE WHEN i > v_purses;
        v_wallets[i] := ledger_wallet_of(p_owner, p_holders[i]);
        -- Somebody else may have made the account a moment before.
        PERFORM FROM ledger_account AS account
        WHERE account.asset_id = p_assets[i] AND account.wallet = v_wallets[i] AND account.kind IN ('member', 'arrears')
        ORDER BY account.id FOR NO KEY UPDATE;
    END LOOP;

    SELECT transfer.id, transfer.fingerprint = decode(p_fingerprint, 'hex') AS same INTO v_row
    FROM ledger_transfer AS transfer
    WHERE transfer.owner = p_owner AND transfer.brand = p_brand AND transfer.key = p_key;
    IF FOUND THEN
        outcome := CASE WHEN v_row.same THEN 'repeated' ELSE 'conflict' END;
        id := v_row.id;
        RETURN;
    END IF;
    IF p_reverses IS NOT NULL OR array_remove(p_firsts, NULL) <> '{}' THEN
        SELECT FROM unnest(p_firsts || p_reverses) AS named (id)
        WHERE named.id IS NOT NULL AND NOT EXISTS (
            SELECT FROM ledger_transfer AS transfer WHERE transfer.id = named.id AND transfer.owner = p_owner)
        INTO v_row;
        IF FOUND THEN
            outcome := 'unknown';
            RETURN;
        END IF;
    END IF;

    FOR i IN 1 .. v_takes LOOP
        v_left := p_amounts[i];
        -- Whoever was waited for may have made another account in the wallet.
        IF v_sole[i] AND p_firsts[i] IS NULL AND (
            SELECT count(*) = 1 FROM ledger_account AS account
            WHERE account.asset_id = p_assets[i] AND account.wallet = v_wallets[i] AND account.kind = 'member')
        THEN
            OPEN v_lot FOR SELECT lot.id, lot.account_id, lot.remaining - lot.held AS free FROM points_lot AS lot
                WHERE lot.account_id = v_accounts[i] AND lot.is_open AND lot.due > p_happened
                ORDER BY lot.due, lot.id;
        ELSE
            OPEN v_lot FOR SELECT lot.id, lot.account_id, lot.remaining - lot.held AS free FROM points_lot AS lot
                WHERE lot.is_open AND lot.due > p_happened AND lot.account_id = ANY (ARRAY(
                    SELECT account.id FROM ledger_account AS account
                    WHERE account.asset_id = p_assets[i] AND account.wallet = v_wallets[i]
                        AND account.kind = 'member'))
                ORDER BY (lot.transfer_id = p_firsts[i]) IS TRUE DESC, lot.due, lot.id;
        END IF;
        LOOP
            FETCH v_lot INTO v_row;
            EXIT WHEN NOT FOUND;
            IF i > 1 THEN
                v_row.free := v_row.free + coalesce((
                    SELECT sum(taken.amount)::bigint FROM unnest(v_lots, v_amounts) AS taken (lot_id, amount)
                    WHERE taken.lot_id = v_row.id), 0);
            END IF;
            CONTINUE WHEN v_row.free = 0;
            v_units := least(v_left, v_row.free);
            v_of := v_of || v_row.account_id;
            v_lots := v_lots || v_row.id;
            v_amounts := v_amounts || -v_units;
            v_left := v_left - v_units;
            EXIT WHEN v_left = 0;
        END LOOP;
        CLOSE v_lot;
        IF v_left > 0 AND p_roles[i] = 'take' THEN
            outcome := 'insufficient';
            number := i;
            available := p_amounts[i] - v_left;
            RETURN;
        ELSIF v_left > 0 THEN
            v_of := v_of || ledger_make_accounts(p_owner, p_assets[i:i], '{arrears}', p_holders[i:i]);
            v_lots := v_lots || NULL::bigint;
            v_amounts := v_amounts || -v_left;
        END IF;
    END LOOP;

    IF cardinality(v_amounts) > 30000 THEN
        outcome := 'limit';
        RETURN;
    END IF;
    id := nextval('ledger_transfer_id_seq');
    FOR i IN v_takes + 1 .. v_purses LOOP
        v_left := p_amounts[i];
        v_made := v_made || nextval('points_lot_id_seq');
        v_of := v_of || v_accounts[i];
        v_lots := v_lots || v_made[i - v_takes];
        v_amounts := v_amounts || v_left;
        FOR v_row IN
            SELECT account.id, account.balance FROM ledger_account AS account
            WHERE account.asset_id = p_assets[i] AND account.wallet = v_wallets[i] AND account.kind = 'arrears'
            ORDER BY account.holder COLLATE "C"
        LOOP
            v_units := least(v_left, -v_row.balance - coalesce((
                SELECT sum(owed.amount)::bigint FROM unnest(v_of, v_amounts) AS owed (account_id, amount)
                WHERE owed.account_id = v_row.id), 0));
            CONTINUE WHEN v_units = 0;
            v_of := v_of || v_accounts[i] || v_row.id;
            v_lots := v_lots || v_made[i - v_takes] || NULL::bigint;
            v_amounts := v_amounts || -v_units || v_units;
            v_left := v_left - v_units;
        END LOOP;
        v_lefts := v_lefts || v_left;
    END LOOP;
    v_of := v_of || v_accounts[v_purses + 1 :];
    v_lots := v_lots || array_fill(NULL::bigint, ARRAY[cardinality(p_roles) - v_purses]);
    v_amounts := v_amounts || p_amounts[v_purses + 1 :];
    INSERT INTO ledger_transfer (
        id, owner, brand, key, fingerprint, kind, reference, reverses, rules_version, happened_at, recorded_at, detail)
    VALUES (
        id, p_owner, p_brand, p_key, decode(p_fingerprint, 'hex'), p_kind, p_reference, p_reverses, p_rules_version,
        p_happened, p_now, p_detail)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        PERFORM ledger_write(
            v_made, array_fill(id, ARRAY[cardinality(v_made)]), v_accounts[v_takes + 1 : v_purses], p_issuers, p_costs,
            array_fill(p_happened, ARRAY[cardinality(v_made)]), p_expires, p_amounts[v_takes + 1 : v_purses], v_lefts,
            array_fill(id, ARRAY[cardinality(v_of)]), ARRAY(SELECT generate_series(1, cardinality(v_of))), v_of, v_lots,
            v_amounts);
        outcome := 'done';
        RETURN;
    END IF;
    SELECT transfer.id, transfer.fingerprint = decode(p_fingerprint, 'hex') AS same INTO v_row
    FROM ledger_transfer AS transfer
    WHERE transfer.owner = p_owner AND transfer.brand = p_brand AND transfer.key = p_key;
    outcome := CASE WHEN v_row.same THEN 'repeated' ELSE 'conflict' END;
    id := v_row.id;
END
$$;
