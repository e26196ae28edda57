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

-- The member and arrears accounts of several lines' wallets, locked by id.
CREATE OR REPLACE FUNCTION ledger_lock_purses(p_owner text, p_assets bigint[], p_holders text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM ledger_account AS account
    WHERE account.id = ANY (ARRAY(
        SELECT own.id
        FROM unnest(p_assets, p_holders) AS line (asset_id, holder)
        CROSS JOIN LATERAL (
            SELECT account.id FROM ledger_account AS account
            WHERE account.asset_id = line.asset_id AND account.kind IN ('member', 'arrears')
                AND account.wallet = coalesce(
                    (SELECT wallet FROM ledger_wallet WHERE owner = p_owner AND holder = line.holder), line.holder)
            OFFSET 0
        ) AS own))
    ORDER BY account.id FOR NO KEY UPDATE;
END
$$;

-- The account of each line, made where there is none (but for a take: it stays NULL); of the first p_purses lines also
-- the wallet, locked, and whether the account is the only member's in it. No accounts for an asset of somebody else.
CREATE OR REPLACE FUNCTION ledger_place_lines(
    p_owner text, p_roles text[], p_assets bigint[], p_holders text[], p_purses integer,
    OUT accounts bigint[], OUT wallets text[], OUT sole boolean[])
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_row record;
BEGIN
    accounts := '{}';
    FOR i IN 1 .. cardinality(p_roles) LOOP
        IF i > p_purses THEN
            SELECT account.id INTO v_row FROM ledger_account AS account
            JOIN ledger_asset AS asset ON asset.id = account.asset_id AND asset.owner = p_owner
            WHERE account.asset_id = p_assets[i] AND account.kind = p_roles[i] AND account.holder = p_holders[i];
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
            wallets[i] := v_row.wallet;
            sole[i] := v_row.members = 1 AND v_row.id IS NOT NULL;
        END IF;
        accounts[i] := v_row.id;
        CONTINUE WHEN v_row.id IS NOT NULL;
        CONTINUE WHEN p_roles[i] = 'take' AND EXISTS (
            SELECT FROM ledger_asset AS asset WHERE asset.id = p_assets[i] AND asset.owner = p_owner);
        IF p_roles[i] <> 'take' THEN
            accounts[i] := (ledger_make_accounts(
                p_owner, p_assets[i:i], ARRAY[CASE WHEN i <= p_purses THEN 'member' ELSE p_roles[i] END],
                p_holders[i:i]))[1];
        END IF;
        IF accounts[i] IS NULL THEN
            accounts := NULL;
            RETURN;
        END IF;
        CONTINUE WHEN i > p_purses;
        wallets[i] := ledger_wallet_of(p_owner, p_holders[i]);
        -- Somebody else may have made the account a moment before.
        PERFORM ledger_lock_purses(p_owner, p_assets[i:i], p_holders[i:i]);
    END LOOP;
END
$$;

-- Postings that empty a wallet's lots, those of p_first before all others; left: how much of p_wanted they do not have.
-- p_amounts says what was taken from them already.
CREATE OR REPLACE FUNCTION ledger_take(
    p_asset bigint, p_account bigint, p_wallet text, p_sole boolean, p_first bigint, p_happened timestamptz,
    p_wanted bigint, INOUT p_of bigint[], INOUT p_lots bigint[], INOUT p_amounts bigint[], OUT "left" bigint)
LANGUAGE plpgsql AS $$
DECLARE
    v_row record;
    v_lot refcursor;
    v_units bigint;
    v_again boolean := cardinality(p_lots) > 0;
BEGIN
    "left" := p_wanted;
    -- Whoever was waited for may have made another account in the wallet.
    IF p_sole AND p_first IS NULL AND (
        SELECT count(*) = 1 FROM ledger_account AS account
        WHERE account.asset_id = p_asset AND account.wallet = p_wallet AND account.kind = 'member')
    THEN
        OPEN v_lot FOR SELECT lot.id, lot.account_id, lot.remaining - lot.held AS free FROM points_lot AS lot
            WHERE lot.account_id = p_account AND lot.is_open AND lot.due > p_happened
            ORDER BY lot.due, lot.id;
    ELSE
        OPEN v_lot FOR SELECT lot.id, lot.account_id, lot.remaining - lot.held AS free FROM points_lot AS lot
            WHERE lot.is_open AND lot.due > p_happened AND lot.account_id = ANY (ARRAY(
                SELECT account.id FROM ledger_account AS account
                WHERE account.asset_id = p_asset AND account.wallet = p_wallet AND account.kind = 'member'))
            ORDER BY (lot.transfer_id = p_first) IS TRUE DESC, lot.due, lot.id;
    END IF;
    LOOP
        FETCH v_lot INTO v_row;
        EXIT WHEN NOT FOUND;
        IF v_again THEN
            v_row.free := v_row.free + coalesce((
                SELECT sum(taken.amount)::bigint FROM unnest(p_lots, p_amounts) AS taken (lot_id, amount)
                WHERE taken.lot_id = v_row.id), 0);
        END IF;
        CONTINUE WHEN v_row.free = 0;
        v_units := least("left", v_row.free);
        p_of := p_of || v_row.account_id;
        p_lots := p_lots || v_row.id;
        p_amounts := p_amounts || -v_units;
        "left" := "left" - v_units;
        EXIT WHEN "left" = 0;
    END LOOP;
    CLOSE v_lot;
END
$$;

-- Postings that fill a new lot, and repay from it what its wallet owes; p_left: what is given, and then what stays.
CREATE OR REPLACE FUNCTION ledger_give(
    p_asset bigint, p_account bigint, p_wallet text, p_lot bigint,
    INOUT p_of bigint[], INOUT p_lots bigint[], INOUT p_amounts bigint[], INOUT p_left bigint)
LANGUAGE plpgsql AS $$
DECLARE
    v_row record;
    v_units bigint;
BEGIN
    p_of := p_of || p_account;
    p_lots := p_lots || p_lot;
    p_amounts := p_amounts || p_left;
    FOR v_row IN
        SELECT account.id, account.balance FROM ledger_account AS account
        WHERE account.asset_id = p_asset AND account.wallet = p_wallet AND account.kind = 'arrears'
        ORDER BY account.holder COLLATE "C"
    LOOP
        v_units := least(p_left, -v_row.balance - coalesce((
            SELECT sum(owed.amount)::bigint FROM unnest(p_of, p_amounts) AS owed (account_id, amount)
            WHERE owed.account_id = v_row.id), 0));
        CONTINUE WHEN v_units = 0;
        p_of := p_of || p_account || v_row.id;
        p_lots := p_lots || p_lot || NULL::bigint;
        p_amounts := p_amounts || -v_units || v_units;
        p_left := p_left - v_units;
    END LOOP;
END
$$;

-- What a key stands for: repeated (the same command) or conflict, and the transfer; nothing if it is new.
CREATE OR REPLACE FUNCTION ledger_known(
    p_owner text, p_brand text, p_key text, p_fingerprint text, OUT outcome text, OUT id bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    SELECT CASE WHEN transfer.fingerprint = decode(p_fingerprint, 'hex') THEN 'repeated' ELSE 'conflict' END,
        transfer.id
    INTO outcome, id
    FROM ledger_transfer AS transfer
    WHERE transfer.owner = p_owner AND transfer.brand = p_brand AND transfer.key = p_key;
END
$$;

-- Write down one transfer: the postings that its takes decided on (p_of, p_lots, p_posted), then those of its gives
-- and of the lines after p_purses. outcome: done, or what the key stands for by now.
CREATE OR REPLACE FUNCTION ledger_write_one(
    p_owner text, p_brand text, p_now timestamptz, p_key text, p_fingerprint text, p_kind text, p_reference text,
    p_reverses bigint, p_rules_version integer, p_happened timestamptz, p_detail jsonb,
    p_assets bigint[], p_amounts bigint[], p_takes integer, p_purses integer, p_issuers text[], p_costs bigint[],
    p_expires timestamptz[], p_accounts bigint[], p_wallets text[],
    p_of bigint[], p_lots bigint[], p_posted bigint[], OUT outcome text, OUT id bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_left bigint;
    v_lines integer;
    v_made bigint[] := '{}';
    v_lefts bigint[] := '{}';
BEGIN
    id := nextval('ledger_transfer_id_seq');
    FOR i IN p_takes + 1 .. p_purses LOOP
        v_made := v_made || nextval('points_lot_id_seq');
        SELECT * INTO p_of, p_lots, p_posted, v_left FROM ledger_give(
            p_assets[i], p_accounts[i], p_wallets[i], v_made[i - p_takes], p_of, p_lots, p_posted, p_amounts[i]);
        v_lefts := v_lefts || v_left;
    END LOOP;
    INSERT INTO ledger_transfer (
        id, owner, brand, key, fingerprint, kind, reference, reverses, rules_version, happened_at, recorded_at, detail)
    VALUES (
        id, p_owner, p_brand, p_key, decode(p_fingerprint, 'hex'), p_kind, p_reference, p_reverses, p_rules_version,
        p_happened, p_now, p_detail)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        SELECT * INTO outcome, id FROM ledger_known(p_owner, p_brand, p_key, p_fingerprint);
        RETURN;
    END IF;
    p_lots := p_lots || array_fill(NULL::bigint, ARRAY[cardinality(p_amounts) - p_purses]);
    v_lines := cardinality(p_lots);
    PERFORM ledger_write(
        v_made, array_fill(id, ARRAY[cardinality(v_made)]), p_accounts[p_takes + 1 : p_purses], p_issuers, p_costs,
        array_fill(p_happened, ARRAY[cardinality(v_made)]), p_expires, p_amounts[p_takes + 1 : p_purses], v_lefts,
        array_fill(id, ARRAY[v_lines]), ARRAY(SELECT generate_series(1, v_lines)),
        p_of || p_accounts[p_purses + 1 :], p_lots, p_posted || p_amounts[p_purses + 1 :]);
    outcome := 'done';
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
    v_wallets text[];
    v_accounts bigint[];
    v_sole boolean[];
    v_left bigint;
    v_of bigint[] := '{}';
    v_lots bigint[] := '{}';
    v_amounts bigint[] := '{}';
BEGIN
    PERFORM ledger_keep_wallets(p_owner);
    IF v_purses > 1 THEN
        PERFORM ledger_lock_purses(p_owner, p_assets[:v_purses], p_holders[:v_purses]);
    END IF;
    SELECT * INTO v_accounts, v_wallets, v_sole
    FROM ledger_place_lines(p_owner, p_roles, p_assets, p_holders, v_purses);
    IF v_accounts IS NULL THEN
        outcome := 'unknown';
        RETURN;
    END IF;
    SELECT * INTO outcome, id FROM ledger_known(p_owner, p_brand, p_key, p_fingerprint);
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;
    IF (p_reverses IS NOT NULL OR array_remove(p_firsts, NULL) <> '{}') AND EXISTS (
        SELECT FROM unnest(p_firsts || p_reverses) AS named (id)
        WHERE named.id IS NOT NULL AND NOT EXISTS (
            SELECT FROM ledger_transfer AS transfer WHERE transfer.id = named.id AND transfer.owner = p_owner))
    THEN
        outcome := 'unknown';
        RETURN;
    END IF;
    FOR i IN 1 .. v_takes LOOP
        SELECT * INTO v_of, v_lots, v_amounts, v_left FROM ledger_take(
            p_assets[i], v_accounts[i], v_wallets[i], v_sole[i], p_firsts[i], p_happened, p_amounts[i], v_of, v_lots,
            v_amounts);
        CONTINUE WHEN v_left = 0;
        IF p_roles[i] = 'take' THEN
            outcome := 'insufficient';
            number := i;
            available := p_amounts[i] - v_left;
            RETURN;
        END IF;
        v_of := v_of || ledger_make_accounts(p_owner, p_assets[i:i], '{arrears}', p_holders[i:i]);
        v_lots := v_lots || NULL::bigint;
        v_amounts := v_amounts || -v_left;
    END LOOP;
    IF cardinality(v_amounts) > 30000 THEN
        outcome := 'limit';
        RETURN;
    END IF;
    SELECT * INTO outcome, id FROM ledger_write_one(
        p_owner, p_brand, p_now, p_key, p_fingerprint, p_kind, p_reference, p_reverses, p_rules_version, p_happened,
        p_detail, p_assets, p_amounts, v_takes, v_purses, p_issuers, p_costs, p_expires, v_accounts, v_wallets, v_of,
        v_lots, v_amounts);
END
$$;
