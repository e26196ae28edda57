-- Commands: transfers asked for, each made in whole or not at all, once for each key.

-- What a command's line stands for, by an account's kind and a holder's name: the account, if it is there, and the
-- holder's wallet. NULL for an asset that is not the owner's.
CREATE OR REPLACE FUNCTION ledger_wallet_of(p_owner text, p_holder text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT wallet FROM ledger_wallet WHERE owner = p_owner AND holder = p_holder), p_holder)
$$;

-- Apply one command. outcome: done, repeated, conflict, unknown (an asset of somebody else's), insufficient (then
-- line, of the takes, and what is available for it), lots (it would empty too many of them).
CREATE OR REPLACE FUNCTION ledger_apply_one(
    p_owner text, p_brand text, p_now timestamptz, p_fingerprint text, p_command jsonb,
    OUT outcome text, OUT id bigint, OUT line integer, OUT available bigint)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    v_fingerprint bytea := decode(p_fingerprint, 'hex');
    v_happened timestamptz := p_command ->> 'happened_at';
    v_takes jsonb := p_command -> 'takes';
    v_gives jsonb := p_command -> 'gives';
    v_moves jsonb := p_command -> 'moves';
    v_take_count integer := jsonb_array_length(p_command -> 'takes');
    v_give_count integer := jsonb_array_length(p_command -> 'gives');
    v_each jsonb;
    v_assets bigint[] := '{}';
    v_kinds text[] := '{}';
    v_holders text[] := '{}';
    v_made boolean[] := '{}';
    v_accounts bigint[];
    v_wallets text[];
    v_unknown boolean;
    v_known bytea;
    v_locked record;
    v_lot record;
    v_left bigint;
    v_units bigint;
    v_lot_id bigint;
    v_of bigint[];
    v_posted_accounts bigint[] := '{}';
    v_posted_lots bigint[] := '{}';
    v_posted_amounts bigint[] := '{}';
BEGIN
    PERFORM ledger_keep_wallets(p_owner);
    FOR v_each IN SELECT jsonb_array_elements(v_takes || v_gives || v_moves) LOOP
        v_assets := v_assets || (v_each ->> 'asset_id')::bigint;
        v_kinds := v_kinds || coalesce(v_each ->> 'kind', 'member');
        v_holders := v_holders || (v_each ->> 'holder');
        v_made := v_made || ((v_each ->> 'short') IS DISTINCT FROM 'refuse');
    END LOOP;
    SELECT bool_or(asset.id IS NULL) INTO v_unknown
    FROM unnest(v_assets) AS line (asset_id)
    LEFT JOIN ledger_asset AS asset ON asset.id = line.asset_id AND asset.owner = p_owner;
    IF v_unknown THEN
        outcome := 'unknown';
        RETURN;
    END IF;
    INSERT INTO ledger_account (asset_id, kind, holder, wallet)
    SELECT DISTINCT line.asset_id, line.kind, line.holder, ledger_wallet_of(p_owner, line.holder)
    FROM unnest(v_assets, v_kinds, v_holders, v_made) AS line (asset_id, kind, holder, made)
    WHERE line.made AND NOT EXISTS (
        SELECT FROM ledger_account AS known
        WHERE known.asset_id = line.asset_id AND known.kind = line.kind AND known.holder = line.holder)
    ORDER BY 1, 2, 3
    ON CONFLICT DO NOTHING;
    SELECT array_agg(account.id ORDER BY line.number),
        array_agg(ledger_wallet_of(p_owner, line.holder) ORDER BY line.number)
    INTO v_accounts, v_wallets
    FROM unnest(v_assets, v_kinds, v_holders) WITH ORDINALITY AS line (asset_id, kind, holder, number)
    LEFT JOIN ledger_account AS account
        ON account.asset_id = line.asset_id AND account.kind = line.kind AND account.holder = line.holder;
    PERFORM FROM ledger_account AS account
    WHERE account.id = ANY (ARRAY(
        SELECT own.id FROM unnest(v_assets, v_kinds, v_wallets) AS line (asset_id, kind, wallet)
        JOIN ledger_account AS own
            ON own.asset_id = line.asset_id AND own.wallet = line.wallet AND own.kind IN ('member', 'arrears')
        WHERE line.kind = 'member'))
    ORDER BY account.id FOR NO KEY UPDATE;

    SELECT transfer.id, transfer.fingerprint INTO id, v_known FROM ledger_transfer AS transfer
    WHERE transfer.owner = p_owner AND transfer.brand = p_brand AND transfer.key = p_command ->> 'key';
    IF FOUND THEN
        outcome := CASE WHEN v_known = v_fingerprint THEN 'repeated' ELSE 'conflict' END;
        RETURN;
    END IF;

    FOR i IN 1 .. v_take_count LOOP
        v_each := v_takes -> (i - 1);
        v_left := v_each ->> 'amount';
        v_of := ARRAY(
            SELECT own.id FROM ledger_account AS own
            WHERE own.asset_id = v_assets[i] AND own.wallet = v_wallets[i] AND own.kind = 'member');
        FOR v_lot IN
            SELECT lot.id, lot.account_id, lot.remaining - lot.held AS free FROM points_lot AS lot
            WHERE lot.account_id = ANY (v_of) AND lot.is_open AND lot.due > v_happened AND lot.remaining > lot.held
            ORDER BY (lot.transfer_id = (v_each ->> 'first_from')::bigint) IS TRUE DESC, lot.due, lot.id
        LOOP
            v_units := least(v_left, v_lot.free + coalesce((
                SELECT sum(taken.amount)::bigint FROM unnest(v_posted_lots, v_posted_amounts) AS taken (lot_id, amount)
                WHERE taken.lot_id = v_lot.id), 0));
            CONTINUE WHEN v_units = 0;
            v_posted_accounts := v_posted_accounts || v_lot.account_id;
            v_posted_lots := v_posted_lots || v_lot.id;
            v_posted_amounts := v_posted_amounts || -v_units;
            v_left := v_left - v_units;
            EXIT WHEN v_left = 0;
        END LOOP;
        IF v_left > 0 AND NOT v_made[i] THEN
            outcome := 'insufficient';
            line := i;
            available := (v_each ->> 'amount')::bigint - v_left;
            id := NULL;
            RETURN;
        ELSIF v_left > 0 THEN
            INSERT INTO ledger_account (asset_id, kind, holder, wallet)
            VALUES (v_assets[i], 'arrears', v_holders[i], v_wallets[i])
            ON CONFLICT DO NOTHING;
            v_posted_accounts := v_posted_accounts || (
                SELECT own.id FROM ledger_account AS own
                WHERE own.asset_id = v_assets[i] AND own.kind = 'arrears' AND own.holder = v_holders[i]);
            v_posted_lots := v_posted_lots || NULL::bigint;
            v_posted_amounts := v_posted_amounts || -v_left;
        END IF;
    END LOOP;

    INSERT INTO ledger_transfer (
        owner, brand, key, fingerprint, kind, reference, reverses, rules_version, happened_at, recorded_at, detail)
    VALUES (
        p_owner, p_brand, p_command ->> 'key', v_fingerprint, p_command ->> 'kind', p_command ->> 'reference',
        (p_command ->> 'reverses')::bigint, (p_command ->> 'rules_version')::integer, v_happened, p_now,
        p_command -> 'detail')
    ON CONFLICT DO NOTHING
    RETURNING ledger_transfer.id INTO id;
    IF id IS NULL THEN
        SELECT transfer.id, transfer.fingerprint INTO id, v_known FROM ledger_transfer AS transfer
        WHERE transfer.owner = p_owner AND transfer.brand = p_brand AND transfer.key = p_command ->> 'key';
        outcome := CASE WHEN v_known = v_fingerprint THEN 'repeated' ELSE 'conflict' END;
        RETURN;
    END IF;

    FOR i IN v_take_count + 1 .. v_take_count + v_give_count LOOP
        v_each := v_gives -> (i - v_take_count - 1);
        v_left := v_each ->> 'amount';
        INSERT INTO points_lot (account_id, transfer_id, issuer, cost_micro, earned_at, expires_at, amount)
        VALUES (
            v_accounts[i], id, v_each ->> 'issuer', (v_each ->> 'cost_micro')::bigint, v_happened,
            (v_each ->> 'expires_at')::timestamptz, v_left)
        RETURNING points_lot.id INTO v_lot_id;
        v_posted_accounts := v_posted_accounts || v_accounts[i];
        v_posted_lots := v_posted_lots || v_lot_id;
        v_posted_amounts := v_posted_amounts || v_left;
        FOR v_locked IN
            SELECT own.id, own.balance FROM ledger_account AS own
            WHERE own.asset_id = v_assets[i] AND own.wallet = v_wallets[i] AND own.kind = 'arrears'
            ORDER BY own.id
        LOOP
            v_units := least(v_left, -v_locked.balance - coalesce((
                SELECT sum(owed.amount)::bigint
                FROM unnest(v_posted_accounts, v_posted_amounts) AS owed (account_id, amount)
                WHERE owed.account_id = v_locked.id), 0));
            CONTINUE WHEN v_units = 0;
            v_posted_accounts := v_posted_accounts || v_accounts[i] || v_locked.id;
            v_posted_lots := v_posted_lots || v_lot_id || NULL::bigint;
            v_posted_amounts := v_posted_amounts || -v_units || v_units;
            v_left := v_left - v_units;
        END LOOP;
    END LOOP;
    FOR i IN v_take_count + v_give_count + 1 .. cardinality(v_assets) LOOP
        v_posted_accounts := v_posted_accounts || v_accounts[i];
        v_posted_lots := v_posted_lots || NULL::bigint;
        v_posted_amounts := v_posted_amounts
            || (v_moves -> (i - v_take_count - v_give_count - 1) ->> 'amount')::bigint;
    END LOOP;
    IF cardinality(v_posted_amounts) > 32000 THEN
        RAISE EXCEPTION 'more than 32000 postings' USING ERRCODE = 'program_limit_exceeded';
    END IF;
    INSERT INTO ledger_posting (transfer_id, line, account_id, lot_id, amount)
    SELECT id, posted.line, posted.account_id, posted.lot_id, posted.amount
    FROM unnest(v_posted_accounts, v_posted_lots, v_posted_amounts)
        WITH ORDINALITY AS posted (account_id, lot_id, amount, line);
    outcome := 'done';
END
$$;
