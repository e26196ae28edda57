-- A batch of commands: what its decisions need is locked and read in one call, what was decided is written in another.

-- The wallet of each holder, or NULL if all are in their own.
CREATE OR REPLACE FUNCTION ledger_other_wallets(p_owner text, p_holders text[]) RETURNS text[]
LANGUAGE plpgsql AS $$
DECLARE
    v_wallets text[];
BEGIN
    IF cardinality(p_holders) > 0 AND EXISTS (SELECT FROM ledger_wallet WHERE owner = p_owner) THEN
        v_wallets := ARRAY(
            SELECT coalesce(
                (SELECT wallet FROM ledger_wallet AS known WHERE known.owner = p_owner AND known.holder = asked.holder),
                asked.holder)
            FROM unnest(p_holders) WITH ORDINALITY AS asked (holder, number) ORDER BY asked.number);
    END IF;
    RETURN nullif(v_wallets, p_holders);
END
$$;

-- The first lots of purses, p_limits[purse] of them that are not due by p_after[purse]; p_members: their accounts.
CREATE OR REPLACE FUNCTION ledger_lots_of(
    p_purses integer[], p_members bigint[], p_after timestamptz[], p_limits integer[],
    OUT purses integer[], OUT lots bigint[], OUT accounts bigint[], OUT dues float8[], OUT free bigint[])
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    SELECT array_agg(number), array_agg(id), array_agg(account_id), array_agg(date_part('epoch', due)), array_agg(free)
    INTO purses, lots, accounts, dues, free
    FROM (
        SELECT purse.number, lot.id, lot.account_id, lot.due, lot.remaining - lot.held AS free
        FROM (
            SELECT own.number, min(own.id) AS id FROM unnest(p_purses, p_members) AS own (number, id)
            WHERE p_limits[own.number] > 0 GROUP BY own.number HAVING count(*) = 1
        ) AS purse
        CROSS JOIN LATERAL (
            SELECT * FROM points_lot AS lot
            WHERE lot.account_id = purse.id AND lot.is_open AND lot.due > p_after[purse.number]
            ORDER BY lot.due, lot.id LIMIT p_limits[purse.number]
        ) AS lot
        UNION ALL
        SELECT purse.number, lot.id, lot.account_id, lot.due, lot.remaining - lot.held
        FROM (
            SELECT own.number, array_agg(own.id) AS ids FROM unnest(p_purses, p_members) AS own (number, id)
            WHERE p_limits[own.number] > 0 GROUP BY own.number HAVING count(*) > 1
        ) AS purse
        CROSS JOIN LATERAL (
            SELECT * FROM points_lot AS lot
            WHERE lot.account_id = ANY (purse.ids) AND lot.is_open AND lot.due > p_after[purse.number]
            ORDER BY lot.due, lot.id LIMIT p_limits[purse.number]
        ) AS lot
    ) AS found;
END
$$;

-- Keep the owner's wallets, lock the member and arrears accounts of purses (an asset and a wallet each), then read what
-- decides: which keys are known, the accounts that lines name (made where there are none), each purse's accounts and
-- first lots (p_limits of them that are not due by p_after), what it owes, and the lots that the transfers p_firsts
-- made. Last the numbers for new transfers and lots are drawn.
--
-- wallets, if some holders are in other wallets than their own, is all that is answered: one a holder of p_holders.
-- foreign_assets, foreign_transfers: those asked about that are not the owner's. Moments are seconds since 1970.
CREATE OR REPLACE FUNCTION ledger_open(
    p_owner text, p_brand text, p_holders text[], p_keys text[], p_assets bigint[], p_transfers bigint[],
    p_made_assets bigint[], p_made_kinds text[], p_made_holders text[],
    p_purse_assets bigint[], p_purse_wallets text[], p_after timestamptz[], p_limits integer[], p_owing integer[],
    p_firsts bigint[], p_new_transfers integer, p_new_lots integer,
    OUT wallets text[], OUT foreign_assets bigint[], OUT foreign_transfers bigint[],
    OUT known_keys integer[], OUT known_ids bigint[], OUT known_fingerprints text[], OUT made bigint[],
    OUT member_purses integer[], OUT members bigint[],
    OUT owed_purses integer[], OUT owed_accounts bigint[], OUT owed_holders text[], OUT owed bigint[],
    OUT lot_purses integer[], OUT lots bigint[], OUT lot_accounts bigint[], OUT lot_dues float8[], OUT lot_free bigint[],
    OUT first_transfers bigint[], OUT first_lots bigint[], OUT first_accounts bigint[], OUT first_dues float8[],
    OUT first_free bigint[], OUT transfer_ids bigint[], OUT lot_ids bigint[])
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    PERFORM ledger_keep_wallets(p_owner);
    wallets := ledger_other_wallets(p_owner, p_holders);
    IF wallets IS NOT NULL THEN
        RETURN;
    END IF;
    foreign_assets := ARRAY(
        SELECT asked.id FROM unnest(p_assets) AS asked (id)
        WHERE NOT EXISTS (SELECT FROM ledger_asset AS asset WHERE asset.id = asked.id AND asset.owner = p_owner));
    foreign_transfers := ARRAY(
        SELECT asked.id FROM unnest(p_transfers) AS asked (id) WHERE NOT EXISTS (
            SELECT FROM ledger_transfer AS transfer WHERE transfer.id = asked.id AND transfer.owner = p_owner));
    made := ledger_make_accounts(p_owner, p_made_assets, p_made_kinds, p_made_holders);
    PERFORM FROM ledger_account AS account
    WHERE account.id = ANY (ARRAY(
        SELECT own.id FROM unnest(p_purse_assets, p_purse_wallets) AS purse (asset_id, wallet)
        JOIN ledger_account AS own ON own.asset_id = purse.asset_id AND own.wallet = purse.wallet
        WHERE own.kind IN ('member', 'arrears') AND purse.asset_id <> ALL (foreign_assets)))
    ORDER BY account.id FOR NO KEY UPDATE;
    -- In a statement of its own: whoever was waited for may have made another account in a wallet.
    SELECT array_agg(purse.number), array_agg(own.id) INTO member_purses, members
    FROM unnest(p_purse_assets, p_purse_wallets) WITH ORDINALITY AS purse (asset_id, wallet, number)
    JOIN ledger_account AS own
        ON own.asset_id = purse.asset_id AND own.wallet = purse.wallet AND own.kind = 'member'
    WHERE purse.asset_id <> ALL (foreign_assets);

    SELECT array_agg(asked.number), array_agg(known.id), array_agg(encode(known.fingerprint, 'hex'))
    INTO known_keys, known_ids, known_fingerprints
    FROM unnest(p_keys) WITH ORDINALITY AS asked (key, number)
    CROSS JOIN LATERAL (
        SELECT transfer.id, transfer.fingerprint FROM ledger_transfer AS transfer
        WHERE transfer.owner = p_owner AND transfer.brand = p_brand AND transfer.key = asked.key
        OFFSET 0
    ) AS known;
    SELECT array_agg(purse.number), array_agg(own.id), array_agg(own.holder), array_agg(-own.balance)
    INTO owed_purses, owed_accounts, owed_holders, owed
    FROM unnest(p_owing) AS purse (number)
    CROSS JOIN LATERAL (
        SELECT account.id, account.holder, account.balance FROM ledger_account AS account
        WHERE account.asset_id = p_purse_assets[purse.number] AND account.wallet = p_purse_wallets[purse.number]
            AND account.kind = 'arrears'
        OFFSET 0
    ) AS own;
    SELECT * INTO lot_purses, lots, lot_accounts, lot_dues, lot_free
    FROM ledger_lots_of(member_purses, members, p_after, p_limits);
    SELECT array_agg(lot.transfer_id), array_agg(lot.id), array_agg(lot.account_id),
        array_agg(date_part('epoch', lot.due)), array_agg(lot.remaining - lot.held)
    INTO first_transfers, first_lots, first_accounts, first_dues, first_free
    FROM unnest(p_firsts) AS asked (id)
    JOIN ledger_posting AS posting ON posting.transfer_id = asked.id
    JOIN points_lot AS lot ON lot.id = posting.lot_id AND lot.transfer_id = asked.id
    WHERE posting.amount > 0 AND lot.is_open;
    transfer_ids := ARRAY(SELECT nextval('ledger_transfer_id_seq') FROM generate_series(1, p_new_transfers));
    lot_ids := ARRAY(SELECT nextval('points_lot_id_seq') FROM generate_series(1, p_new_lots));
END
$$;

-- Write down what was decided. False, and nothing is written, if some keys are taken by now.
CREATE OR REPLACE FUNCTION ledger_write_batch(
    p_owner text, p_brand text, p_now timestamptz, p_ids bigint[], p_keys text[], p_fingerprints text[], p_kinds text[],
    p_references text[], p_reverses bigint[], p_rules_versions integer[], p_happened timestamptz[], p_details jsonb[],
    p_lots bigint[], p_lot_transfers bigint[], p_lot_accounts bigint[], p_issuers text[], p_costs bigint[],
    p_earned timestamptz[], p_expires timestamptz[], p_lot_amounts bigint[], p_lefts bigint[],
    p_transfers bigint[], p_lines integer[], p_accounts bigint[], p_posted_lots bigint[], p_amounts bigint[])
RETURNS boolean
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    INSERT INTO ledger_transfer (
        id, owner, brand, key, fingerprint, kind, reference, reverses, rules_version, happened_at, recorded_at, detail)
    SELECT id, p_owner, p_brand, key, decode(fingerprint, 'hex'), kind, reference, reverses, rules_version,
        happened_at, p_now, detail
    FROM unnest(
        p_ids, p_keys, p_fingerprints, p_kinds, p_references, p_reverses, p_rules_versions, p_happened, p_details)
        AS asked (id, key, fingerprint, kind, reference, reverses, rules_version, happened_at, detail);
    PERFORM ledger_write(
        p_lots, p_lot_transfers, p_lot_accounts, p_issuers, p_costs, p_earned, p_expires, p_lot_amounts, p_lefts,
        p_transfers, p_lines, p_accounts, p_posted_lots, p_amounts);
    RETURN true;
EXCEPTION WHEN unique_violation THEN
    RETURN false;
END
$$;
