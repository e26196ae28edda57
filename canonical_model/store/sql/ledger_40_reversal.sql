-- Reversal: a transfer is taken back, in whole or in part. What it took last goes back first, into the same lots.

-- What a transfer took of members' lots and on credit, the last first; upto: added up, this line included. What went
-- out of lots that it had made itself (to repay what was owed) is no part of that.
CREATE OR REPLACE FUNCTION ledger_taken_by(p_transfer bigint)
RETURNS TABLE (account_id bigint, lot_id bigint, amount bigint, upto bigint)
LANGUAGE sql STABLE AS $$
    SELECT posting.account_id, posting.lot_id, -posting.amount,
        (-sum(posting.amount) OVER (ORDER BY posting.line DESC))::bigint
    FROM ledger_posting AS posting
    JOIN ledger_account AS account ON account.id = posting.account_id AND account.kind IN ('member', 'arrears')
    LEFT JOIN points_lot AS lot ON lot.id = posting.lot_id
    WHERE posting.transfer_id = p_transfer AND posting.amount < 0 AND lot.transfer_id IS DISTINCT FROM p_transfer
$$;

-- How much of that went back already.
CREATE OR REPLACE FUNCTION ledger_reversed_of(p_transfer bigint) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(posting.amount), 0)::bigint
    FROM ledger_transfer AS back
    JOIN ledger_posting AS posting ON posting.transfer_id = back.id AND posting.amount > 0
    JOIN ledger_account AS account ON account.id = posting.account_id AND account.kind IN ('member', 'arrears')
    WHERE back.reverses = p_transfer AND back.kind = 'reverse'
$$;

-- Lots that repaid what an arrears account owed, and how much of that still stands; the last that did first.
CREATE OR REPLACE FUNCTION ledger_repaid_by(p_arrears bigint)
RETURNS TABLE (account_id bigint, lot_id bigint, amount bigint)
LANGUAGE sql STABLE AS $$
    SELECT lot.account_id, lot.id, least(-sum(posting.amount), lot.amount - lot.remaining)::bigint
    FROM (
        -- A repayment is a line of a lot, and the next one of what is owed; owed again is all that a transfer gives back.
        SELECT posting.transfer_id, posting.lot_id, posting.amount
        FROM ledger_posting AS owed JOIN ledger_posting AS posting
            ON posting.transfer_id = owed.transfer_id AND posting.line = owed.line - 1 AND posting.amount = -owed.amount
        WHERE owed.account_id = p_arrears AND owed.amount > 0 AND posting.lot_id IS NOT NULL
        UNION ALL
        SELECT posting.transfer_id, posting.lot_id, posting.amount
        FROM ledger_posting AS owed JOIN ledger_transfer AS again ON again.id = owed.transfer_id AND again.kind = 'repay'
        JOIN ledger_posting AS posting ON posting.transfer_id = owed.transfer_id AND posting.lot_id IS NOT NULL
        WHERE owed.account_id = p_arrears AND owed.amount < 0
    ) AS posting
    JOIN points_lot AS lot ON lot.id = posting.lot_id
    WHERE NOT EXISTS (
        SELECT FROM ledger_transfer AS back
        WHERE back.reverses = posting.transfer_id AND back.kind = 'reverse' AND posting.transfer_id = lot.transfer_id)
    GROUP BY lot.account_id, lot.id
    HAVING sum(posting.amount) < 0 AND lot.amount > lot.remaining
    ORDER BY max(posting.transfer_id) FILTER (WHERE posting.amount < 0) DESC, lot.id DESC
$$;

-- Lock every account that a reversal of the transfer may touch.
CREATE OR REPLACE FUNCTION ledger_lock_for_reversal(p_transfer bigint) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    PERFORM ledger_lock_wallets_of(ARRAY(
        SELECT account_id FROM ledger_posting WHERE transfer_id = p_transfer
        UNION
        SELECT repaid.account_id FROM ledger_posting AS posting
        JOIN ledger_account AS arrears ON arrears.id = posting.account_id AND arrears.kind = 'arrears'
        CROSS JOIN LATERAL ledger_repaid_by(arrears.id) AS repaid
        WHERE posting.transfer_id = p_transfer AND posting.amount < 0));
END
$$;

-- Undo repayments of an arrears account for p_units, as a transfer of its own: it owes them again, the lots have them
-- again. Which lots, and how much each.
CREATE OR REPLACE FUNCTION ledger_owe_again(
    p_owner text, p_brand text, p_key text, p_reference text, p_happened_at timestamptz, p_now timestamptz,
    p_detail jsonb, p_arrears bigint, p_units bigint)
RETURNS TABLE (account_id bigint, lot_id bigint, amount bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_accounts bigint[] := '{}';
    v_lots bigint[] := '{}';
    v_amounts bigint[] := '{}';
    v_left bigint := p_units;
    v_repaid record;
BEGIN
    FOR v_repaid IN SELECT * FROM ledger_repaid_by(p_arrears) LOOP
        v_accounts := v_accounts || v_repaid.account_id;
        v_lots := v_lots || v_repaid.lot_id;
        v_amounts := v_amounts || least(v_left, v_repaid.amount);
        v_left := v_left - least(v_left, v_repaid.amount);
        EXIT WHEN v_left = 0;
    END LOOP;
    PERFORM ledger_add_postings(
        ledger_add_transfer(
            p_owner, p_brand, p_key, sha256(convert_to(p_key, 'UTF8')), 'repay', p_reference, NULL, 0, p_happened_at,
            p_now, p_detail),
        v_accounts || p_arrears, v_lots || NULL::bigint, v_amounts || -p_units);
    RETURN QUERY SELECT * FROM unnest(v_accounts, v_lots, v_amounts);
END
$$;

-- What wallets still owe is repaid from units that came back, the earliest due first, as a transfer of its own.
CREATE OR REPLACE FUNCTION ledger_repay(
    p_owner text, p_brand text, p_key text, p_reference text, p_happened_at timestamptz, p_now timestamptz,
    p_lots bigint[], p_units bigint[]) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    v_accounts bigint[];
    v_lots bigint[];
    v_amounts bigint[];
BEGIN
    -- Of a wallet, the units that came back and those that are owed lie side by side, each in their order: where a lot
    -- and a debt overlap, the one repays the other.
    WITH came AS (
        SELECT lot.id, lot.account_id, lot.due, own.asset_id, own.wallet, sum(back.units) AS units
        FROM unnest(p_lots, p_units) AS back (lot_id, units)
        JOIN points_lot AS lot ON lot.id = back.lot_id
        JOIN ledger_account AS own ON own.id = lot.account_id
        GROUP BY lot.id, own.asset_id, own.wallet
    ), back AS MATERIALIZED (
        SELECT came.*, sum(came.units) OVER (
            PARTITION BY came.asset_id, came.wallet ORDER BY came.due, came.id) AS upto
        FROM came
    ), owed AS MATERIALIZED (
        SELECT arrears.id, arrears.holder, arrears.asset_id, arrears.wallet, -arrears.balance AS units,
            sum(-arrears.balance) OVER (
                PARTITION BY arrears.asset_id, arrears.wallet ORDER BY arrears.holder COLLATE "C") AS upto
        FROM (SELECT DISTINCT asset_id, wallet FROM back) AS purse
        JOIN ledger_account AS arrears
            ON arrears.asset_id = purse.asset_id AND arrears.wallet = purse.wallet AND arrears.kind = 'arrears'
        WHERE arrears.balance < 0
    ), repaid AS (
        SELECT back.id AS lot_id, back.account_id, owed.id AS arrears_id,
            (least(back.upto, owed.upto) - greatest(back.upto - back.units, owed.upto - owed.units))::bigint AS units,
            row_number() OVER (ORDER BY back.due, back.id, owed.holder COLLATE "C") AS number
        FROM back JOIN owed ON owed.asset_id = back.asset_id AND owed.wallet = back.wallet
        WHERE back.upto > owed.upto - owed.units AND owed.upto > back.upto - back.units
    ), line AS (
        SELECT number, 1 AS side, account_id, lot_id, -units AS amount FROM repaid
        UNION ALL
        SELECT number, 2, arrears_id, NULL, units FROM repaid
    )
    SELECT array_agg(account_id ORDER BY number, side), array_agg(lot_id ORDER BY number, side),
        array_agg(amount ORDER BY number, side)
    INTO v_accounts, v_lots, v_amounts FROM line;
    IF cardinality(v_amounts) > 0 THEN
        PERFORM ledger_add_postings(
            ledger_add_transfer(
                p_owner, p_brand, p_key, sha256(convert_to(p_key, 'UTF8')), 'repay', p_reference, NULL, 0,
                p_happened_at, p_now, '{}'),
            v_accounts, v_lots, v_amounts);
    END IF;
END
$$;

-- Units that came back too late to live: they leave again at once, as a transfer of its own.
CREATE OR REPLACE FUNCTION ledger_expire_back(
    p_owner text, p_brand text, p_key text, p_reference text, p_happened_at timestamptz, p_now timestamptz,
    p_lots bigint[], p_units bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_accounts bigint[];
    v_lots bigint[];
    v_amounts bigint[];
BEGIN
    WITH back AS (
        SELECT lot.id, lot.account_id, lot.issuer, own.asset_id, sum(came.units)::bigint AS units
        FROM unnest(p_lots, p_units) AS came (lot_id, units)
        JOIN points_lot AS lot ON lot.id = came.lot_id
        JOIN ledger_account AS own ON own.id = lot.account_id
        GROUP BY lot.id, own.asset_id
    ), line AS (
        SELECT 1 AS side, id AS place, id AS lot_id, account_id, -units AS amount FROM back
        UNION ALL
        SELECT 2, min(id), NULL, ledger_account_of(asset_id, 'expired', issuer), sum(units)::bigint FROM back
        GROUP BY asset_id, issuer
    )
    SELECT array_agg(account_id ORDER BY side, place), array_agg(lot_id ORDER BY side, place),
        array_agg(amount ORDER BY side, place)
    INTO v_accounts, v_lots, v_amounts FROM line;
    PERFORM ledger_add_postings(
        ledger_add_transfer(
            p_owner, p_brand, p_key, sha256(convert_to(p_key, 'UTF8')), 'expire', p_reference, NULL, 0, p_happened_at,
            p_now, '{}'),
        v_accounts, v_lots, v_amounts);
END
$$;

-- The lines of a reversal of p_units, after p_before went back already: what was taken goes back, and the other side of
-- it; of the whole transfer, its other side as it is.
CREATE OR REPLACE FUNCTION ledger_reversal_lines(
    p_transfer bigint, p_before bigint, p_units bigint, p_whole boolean,
    OUT accounts bigint[], OUT lots bigint[], OUT amounts bigint[])
LANGUAGE sql STABLE AS $$
    WITH other AS (
        SELECT posting.account_id, posting.line, posting.amount,
            (sum(posting.amount) OVER (ORDER BY posting.line DESC))::bigint AS upto
        FROM ledger_posting AS posting JOIN ledger_account AS account ON account.id = posting.account_id
        WHERE posting.transfer_id = p_transfer AND account.kind NOT IN ('member', 'arrears')
    ), line AS (
        SELECT 1 AS side, upto AS number, account_id, lot_id,
            least(upto, p_before + p_units) - greatest(upto - amount, p_before) AS amount
        FROM ledger_taken_by(p_transfer)
        WHERE upto > p_before AND upto - amount < p_before + p_units
        UNION ALL
        SELECT 2, line, account_id, NULL, CASE WHEN p_whole THEN -amount
            ELSE greatest(upto - amount, p_before) - least(upto, p_before + p_units) END
        FROM other
        WHERE p_whole OR (upto > p_before AND upto - amount < p_before + p_units)
    )
    SELECT array_agg(account_id ORDER BY side, number), array_agg(lot_id ORDER BY side, number),
        array_agg(amount ORDER BY side, number)
    FROM line
$$;

-- What a transfer gave, as it is now: lots that it made, how many units of each it left there and how many of them are
-- free; and the debts that it repaid from them.
CREATE OR REPLACE FUNCTION ledger_given_by(p_transfer bigint)
RETURNS TABLE (account_id bigint, lot_id bigint, units bigint, free bigint, asset_id bigint, holder text, kind text)
LANGUAGE sql STABLE AS $$
    SELECT posting.account_id, posting.lot_id, sum(posting.amount)::bigint, lot.remaining - lot.held,
        account.asset_id, account.holder, account.kind
    FROM ledger_posting AS posting JOIN ledger_account AS account ON account.id = posting.account_id
    LEFT JOIN points_lot AS lot ON lot.id = posting.lot_id
    WHERE posting.transfer_id = p_transfer
        AND (lot.transfer_id = p_transfer OR (account.kind = 'arrears' AND posting.amount > 0))
    GROUP BY posting.account_id, posting.lot_id, lot.remaining, lot.held, account.asset_id, account.holder,
        account.kind
    ORDER BY min(posting.line)
$$;

-- Take back p_amount (NULL: all that is left) of what a transfer took. outcome: done, repeated, conflict, missing,
-- fixed (nothing of it can go back), whole (it goes back whole or not at all), over (available is left), spent (of the
-- units that it gave, only available are still there; p_owe: the rest is owed).
-- p_grace_until: until when units live that were due by p_happened_at; NULL: they expire.
CREATE OR REPLACE FUNCTION ledger_reverse(
    p_owner text, p_brand text, p_key text, p_fingerprint bytea, p_transfer bigint, p_amount bigint,
    p_happened_at timestamptz, p_grace_until timestamptz, p_owe boolean, p_detail jsonb, p_now timestamptz,
    OUT outcome text, OUT id bigint, OUT available bigint)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    v_old ledger_transfer;
    v_known bytea;
    v_total bigint;
    v_before bigint;
    v_units bigint;
    v_one_asset boolean;
    v_gave boolean;
    v_mixed boolean;
    v_line record;
    v_again record;
    v_short bigint;
    v_accounts bigint[] := '{}';
    v_lots bigint[] := '{}';
    v_amounts bigint[] := '{}';
    v_back bigint[] := '{}';
    v_back_units bigint[] := '{}';
    v_late bigint[];
    v_late_units bigint[];
    v_number integer := 0;
BEGIN
    PERFORM ledger_keep_wallets(p_owner);
    SELECT * INTO v_old FROM ledger_transfer AS transfer WHERE transfer.id = p_transfer AND transfer.owner = p_owner;
    IF NOT FOUND THEN
        outcome := 'missing';
        RETURN;
    END IF;
    IF p_owe THEN
        PERFORM ledger_account_of(own.asset_id, 'arrears', own.holder)
        FROM points_lot AS lot JOIN ledger_account AS own ON own.id = lot.account_id
        WHERE lot.id IN (SELECT lot_id FROM ledger_posting WHERE transfer_id = p_transfer)
            AND lot.transfer_id = p_transfer;
    END IF;
    PERFORM ledger_lock_for_reversal(p_transfer);

    SELECT transfer.id, transfer.fingerprint INTO id, v_known FROM ledger_transfer AS transfer
    WHERE transfer.owner = p_owner AND transfer.brand = p_brand AND transfer.key = p_key;
    IF FOUND THEN
        outcome := CASE WHEN v_known = p_fingerprint THEN 'repeated' ELSE 'conflict' END;
        RETURN;
    END IF;

    SELECT coalesce(max(upto), 0) INTO v_total FROM ledger_taken_by(p_transfer);
    IF v_total = 0 OR v_old.kind IN ('earn', 'reverse', 'repay') THEN
        outcome := 'fixed';
        RETURN;
    END IF;
    v_before := ledger_reversed_of(p_transfer);
    available := v_total - v_before;
    v_units := coalesce(p_amount, available);
    IF v_units > available OR available = 0 THEN
        outcome := 'over';
        RETURN;
    END IF;
    SELECT count(DISTINCT account.asset_id) = 1, coalesce(bool_or(lot.transfer_id = p_transfer), false),
        bool_or(posting.amount < 0 AND account.kind NOT IN ('member', 'arrears'))
    INTO v_one_asset, v_gave, v_mixed
    FROM ledger_posting AS posting JOIN ledger_account AS account ON account.id = posting.account_id
    LEFT JOIN points_lot AS lot ON lot.id = posting.lot_id
    WHERE posting.transfer_id = p_transfer;
    IF v_units < v_total AND (NOT v_one_asset OR v_gave OR v_mixed) THEN
        outcome := 'whole';
        available := v_total;
        RETURN;
    END IF;

    SELECT * INTO v_accounts, v_lots, v_amounts
    FROM ledger_reversal_lines(p_transfer, v_before, v_units, v_units = v_total);
    -- What it gave is taken back.
    FOR v_line IN
        SELECT * FROM ledger_given_by(p_transfer) WHERE v_gave
    LOOP
        v_short := CASE v_line.kind WHEN 'member' THEN greatest(0, v_line.units - v_line.free) ELSE 0 END;
        IF v_short > 0 AND NOT p_owe THEN
            outcome := 'spent';
            available := v_line.free;
            RETURN;
        END IF;
        v_accounts := v_accounts || v_line.account_id;
        v_lots := v_lots || v_line.lot_id;
        v_amounts := v_amounts || (v_short - v_line.units);
        IF v_short > 0 THEN
            v_accounts := v_accounts || ledger_account_of(v_line.asset_id, 'arrears', v_line.holder);
            v_lots := v_lots || NULL::bigint;
            v_amounts := v_amounts || -v_short;
        END IF;
    END LOOP;

    -- Units that are due and were there before expire as ever, before their lots live on.
    IF p_grace_until IS NOT NULL THEN
        PERFORM ledger_expire_these(p_owner, ARRAY(
            SELECT line.lot_id FROM unnest(v_lots, v_amounts) AS line (lot_id, amount) WHERE line.amount > 0
            UNION
            SELECT repaid.lot_id FROM unnest(v_accounts, v_amounts) AS line (account_id, amount)
            JOIN ledger_account AS arrears ON arrears.id = line.account_id AND arrears.kind = 'arrears'
            CROSS JOIN LATERAL ledger_repaid_by(arrears.id) AS repaid
            WHERE line.amount > 0), p_happened_at, p_now);
    END IF;
    -- What is owed no longer, because it was repaid, is owed again first: the lots that repaid it get it back.
    FOR v_line IN
        SELECT line.account_id, sum(line.amount)::bigint + account.balance AS units
        FROM unnest(v_accounts, v_amounts) AS line (account_id, amount)
        JOIN ledger_account AS account ON account.id = line.account_id AND account.kind = 'arrears'
        GROUP BY line.account_id, account.balance, account.asset_id, account.holder
        HAVING sum(line.amount) + account.balance > 0
        ORDER BY account.asset_id, account.holder COLLATE "C"
    LOOP
        v_number := v_number + 1;
        FOR v_again IN
            SELECT * FROM ledger_owe_again(
                p_owner, p_brand, 'owe:' || p_key || CASE WHEN v_number > 1 THEN '#' || v_number ELSE '' END,
                v_old.reference, p_happened_at, p_now,
                CASE WHEN p_grace_until IS NULL THEN '{}' ELSE p_detail END, v_line.account_id, v_line.units)
        LOOP
            v_back := v_back || v_again.lot_id;
            v_back_units := v_back_units || v_again.amount;
        END LOOP;
    END LOOP;

    id := ledger_add_transfer(
        p_owner, p_brand, p_key, p_fingerprint, 'reverse', v_old.reference, p_transfer, v_old.rules_version,
        p_happened_at, p_now, p_detail);
    PERFORM ledger_add_postings(id, v_accounts, v_lots, v_amounts);

    SELECT v_back || coalesce(array_agg(line.lot_id ORDER BY line.number), '{}'),
        v_back_units || coalesce(array_agg(line.amount ORDER BY line.number), '{}')
    INTO v_back, v_back_units
    FROM unnest(v_lots, v_amounts) WITH ORDINALITY AS line (lot_id, amount, number)
    WHERE line.lot_id IS NOT NULL AND line.amount > 0;
    UPDATE points_lot AS lot SET grace_until = p_grace_until
    WHERE p_grace_until IS NOT NULL AND lot.id = ANY (v_back) AND lot.due <= p_happened_at;
    SELECT array_agg(back.lot_id) FILTER (WHERE lot.due <= p_happened_at),
        array_agg(back.units) FILTER (WHERE lot.due <= p_happened_at),
        array_agg(back.lot_id) FILTER (WHERE lot.due > p_happened_at),
        array_agg(back.units) FILTER (WHERE lot.due > p_happened_at)
    INTO v_late, v_late_units, v_back, v_back_units
    FROM unnest(v_back, v_back_units) AS back (lot_id, units) JOIN points_lot AS lot ON lot.id = back.lot_id;
    IF v_late IS NOT NULL THEN
        PERFORM ledger_expire_back(
            p_owner, p_brand, 'expire:' || p_key, v_old.reference, p_happened_at, p_now, v_late, v_late_units);
    END IF;
    PERFORM ledger_repay(
        p_owner, p_brand, 'repay:' || p_key, v_old.reference, p_happened_at, p_now, v_back, v_back_units);
    outcome := 'done';
END
$$;
