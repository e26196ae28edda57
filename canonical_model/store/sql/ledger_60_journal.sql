-- The journal's seal: a hash of every entry, over what it says and never over a number of this database.

-- A moment as text, whatever the session's time zone.
CREATE OR REPLACE FUNCTION ledger_moment(p_at timestamptz) RETURNS timestamp
LANGUAGE sql IMMUTABLE AS $$ SELECT p_at AT TIME ZONE 'UTC' $$;

-- Up to p_limit entries of an owner after one transfer and up to another, in their order: how many they are, the last,
-- and their hashes, 32 bytes each.
CREATE OR REPLACE FUNCTION ledger_hashes(p_owner text, p_after bigint, p_until bigint, p_limit integer)
RETURNS TABLE (entries bigint, last_id bigint, hashes bytea)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH entry AS MATERIALIZED (
        SELECT * FROM ledger_transfer AS transfer
        WHERE transfer.id > p_after AND transfer.id <= p_until AND transfer.owner = p_owner
        ORDER BY transfer.id LIMIT p_limit
    ), hashed AS (
        SELECT entry.id, sha256(convert_to(json_build_array(
            entry.owner, entry.brand, entry.key, encode(entry.fingerprint, 'hex'), entry.kind, entry.reference,
            entry.reverses IS NOT NULL, reversed.brand, reversed.key, entry.rules_version,
            ledger_moment(entry.happened_at), ledger_moment(entry.recorded_at), entry.detail, posted.lines
        )::text, 'UTF8')) AS hash
        FROM entry LEFT JOIN ledger_transfer AS reversed ON reversed.id = entry.reverses
        CROSS JOIN LATERAL (
            SELECT json_agg(CASE WHEN posting.lot_id IS NULL
                THEN json_build_array(
                    posting.line, asset.brand, asset.code, asset.kind, account.kind, account.holder, posting.amount)
                ELSE json_build_array(
                    posting.line, asset.brand, asset.code, asset.kind, account.kind, account.holder, posting.amount,
                    origin.brand, origin.key, lot.issuer, lot.cost_micro, lot.amount, ledger_moment(lot.earned_at),
                    ledger_moment(lot.expires_at))
                END ORDER BY posting.line) AS lines
            FROM ledger_posting AS posting
            LEFT JOIN ledger_account AS account ON account.id = posting.account_id
            LEFT JOIN ledger_asset AS asset ON asset.id = account.asset_id
            LEFT JOIN points_lot AS lot ON lot.id = posting.lot_id
            LEFT JOIN ledger_transfer AS origin ON origin.id = lot.transfer_id
            WHERE posting.transfer_id = entry.id
        ) AS posted
    )
    SELECT count(*), max(hashed.id), coalesce(string_agg(hashed.hash, ''::bytea ORDER BY hashed.id), ''::bytea)
    FROM hashed;
END
$$;

-- Add what an owner's entries after one transfer and up to another moved to the balances of accounts that are neither
-- a member's nor arrears.
CREATE OR REPLACE FUNCTION ledger_fold_balances(p_owner text, p_after bigint, p_until bigint) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    UPDATE ledger_account AS account SET balance = account.balance + moved.amount
    FROM (
        SELECT posting.account_id, sum(posting.amount)::bigint AS amount
        FROM ledger_transfer AS entry JOIN ledger_posting AS posting ON posting.transfer_id = entry.id
        WHERE entry.id > p_after AND entry.id <= p_until AND entry.owner = p_owner
            AND posting.lot_id IS NULL
        GROUP BY posting.account_id
    ) AS moved
    WHERE account.id = moved.account_id AND account.kind NOT IN ('member', 'arrears');
END
$$;

-- What became of the lots of each issuer in an owner's entries after one transfer and up to another: units in (or,
-- negative, out) by what they were, and what they cost. A posting counts by what its transfer was. What went out of a
-- lot in the transfer that made it repaid a debt. A reversal counts against what it reverses, or takes a lot back that
-- was made there.
CREATE OR REPLACE FUNCTION ledger_issuer_sums(p_owner text, p_after bigint, p_until bigint)
RETURNS TABLE (asset_id bigint, issuer text, kind text, amount numeric, cost_micro numeric)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT account.asset_id, lot.issuer::text, was.kind, sum(posting.amount),
        sum(posting.amount::numeric * lot.cost_micro)
    FROM ledger_transfer AS entry
    JOIN ledger_posting AS posting ON posting.transfer_id = entry.id AND posting.lot_id IS NOT NULL
    JOIN points_lot AS lot ON lot.id = posting.lot_id
    JOIN ledger_account AS account ON account.id = lot.account_id
    LEFT JOIN ledger_transfer AS reversed ON reversed.id = entry.reverses
    CROSS JOIN LATERAL (SELECT CASE
        WHEN lot.transfer_id = entry.id AND posting.amount > 0 THEN 'issued'
        WHEN lot.transfer_id = entry.id OR (entry.kind = 'reverse' AND lot.transfer_id = reversed.id)
            THEN 'clawed_back'
        ELSE CASE CASE entry.kind WHEN 'reverse' THEN reversed.kind ELSE entry.kind END
            WHEN 'expire' THEN 'expired'
            WHEN 'exchange' THEN 'exchanged_out'
            WHEN 'claw_back' THEN 'clawed_back'
            WHEN 'repay' THEN 'clawed_back'
            WHEN 'adjust' THEN 'clawed_back'
            ELSE 'spent' END
        END AS kind) AS was
    WHERE entry.id > p_after AND entry.id <= p_until AND entry.owner = p_owner
    GROUP BY account.asset_id, lot.issuer, was.kind;
END
$$;

-- Add those of the entries after one transfer and up to another to the sums that are kept.
CREATE OR REPLACE FUNCTION ledger_fold_issuers(p_owner text, p_after bigint, p_until bigint) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO ledger_issuer_sum AS kept (asset_id, issuer, kind, amount, cost_micro)
    SELECT asset_id, issuer, kind, amount, cost_micro FROM ledger_issuer_sums(p_owner, p_after, p_until)
    ON CONFLICT (asset_id, issuer, kind) DO UPDATE
    SET amount = kept.amount + excluded.amount, cost_micro = kept.cost_micro + excluded.cost_micro
$$;
