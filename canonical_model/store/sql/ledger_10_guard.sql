-- The ledger's guards: whoever writes postings, they sum to zero, fill and empty the lots they name, and stay.

-- Wallets stay as they are until the end of the transaction. Everything that goes by wallets calls it first;
-- ledger_change_wallets, before wallets are changed, waits for all of those and lets no new one begin. The transaction
-- has its number from here on, before it numbers a transfer: that is how the sealer knows of it.
CREATE OR REPLACE FUNCTION ledger_keep_wallets(p_owner text) RETURNS void
LANGUAGE sql AS $$
    SELECT pg_current_xact_id();
    SELECT pg_advisory_xact_lock_shared(hashtext('ledger_wallet'), hashtext(p_owner))
$$;

CREATE OR REPLACE FUNCTION ledger_change_wallets(p_owner text) RETURNS void
LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtext('ledger_wallet'), hashtext(p_owner))
$$;

CREATE OR REPLACE FUNCTION ledger_wallet_of(p_owner text, p_holder text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT wallet FROM ledger_wallet WHERE owner = p_owner AND holder = p_holder), p_holder)
$$;

-- All postings of a transfer come in one statement, as lines 1, 2, …, and sum to zero for each asset. Those of a
-- member's account name a lot of it, no others do. Balances of members and arrears, and lots, move with them.
-- However many come first in a session, each account, lot and transfer is an index look-up: hence the settings.
CREATE OR REPLACE FUNCTION ledger_guard_postings() RETURNS trigger
LANGUAGE plpgsql SET enable_seqscan = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    v_wrong bigint;
    v_lots bigint;
    v_filled bigint;
BEGIN
    WITH filled AS (
        UPDATE points_lot AS lot SET remaining = lot.remaining + moved.amount
        FROM (
            SELECT lot_id, account_id, sum(amount)::bigint AS amount, count(*) AS postings
            FROM new_posting WHERE lot_id IS NOT NULL GROUP BY lot_id, account_id
        ) AS moved
        WHERE lot.id = moved.lot_id AND lot.account_id = moved.account_id
        RETURNING moved.postings
    ), moved AS (
        UPDATE ledger_account AS account SET balance = account.balance + moved.amount
        FROM (SELECT account_id, sum(amount)::bigint AS amount FROM new_posting GROUP BY account_id) AS moved
        WHERE account.id = moved.account_id AND account.kind IN ('member', 'arrears')
    ), posted AS (
        SELECT posting.transfer_id, account.asset_id, count(*) AS postings, count(posting.lot_id) AS lots,
            min(posting.line) AS first, max(posting.line) AS last,
            sum(posting.amount) <> 0 OR bool_or((posting.lot_id IS NULL) = (account.kind = 'member')) AS wrong
        FROM new_posting AS posting LEFT JOIN ledger_account AS account ON account.id = posting.account_id
        GROUP BY posting.transfer_id, account.asset_id
    ), entry AS (
        SELECT posted.transfer_id, sum(posted.lots) AS lots, min(asset.owner) AS owner,
            bool_or(posted.wrong) OR min(posted.first) <> 1 OR max(posted.last) <> sum(posted.postings)
                OR count(asset.id) <> count(*) OR min(asset.owner) <> max(asset.owner) AS wrong
        FROM posted LEFT JOIN ledger_asset AS asset ON asset.id = posted.asset_id
        GROUP BY posted.transfer_id
    )
    SELECT min(entry.transfer_id) FILTER (WHERE entry.wrong OR (transfer.owner = entry.owner) IS NOT TRUE),
        sum(entry.lots), (SELECT sum(postings) FROM filled)
    INTO v_wrong, v_lots, v_filled
    FROM entry LEFT JOIN ledger_transfer AS transfer ON transfer.id = entry.transfer_id;
    IF v_wrong IS NOT NULL THEN
        RAISE EXCEPTION 'transfer %: its postings must be lines 1, 2, … of one statement, sum to zero for each asset '
            'of its owner, and name a lot where, and only where, the account is a member''s', v_wrong
            USING ERRCODE = 'integrity_constraint_violation';
    ELSIF v_lots <> coalesce(v_filled, 0) THEN
        RAISE EXCEPTION 'a posting names a lot that is not one of its account' USING
            ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ledger_posting_guard AFTER INSERT ON ledger_posting
REFERENCING NEW TABLE AS new_posting FOR EACH STATEMENT EXECUTE FUNCTION ledger_guard_postings();

-- What nothing but a new posting may change.
CREATE OR REPLACE FUNCTION ledger_refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% cannot be changed in this way (%); post a transfer that corrects it', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;

CREATE OR REPLACE TRIGGER ledger_transfer_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transfer
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE OR REPLACE TRIGGER ledger_posting_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_posting
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE OR REPLACE TRIGGER ledger_seal_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_seal
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE OR REPLACE TRIGGER points_lot_stays BEFORE DELETE OR TRUNCATE ON points_lot
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE OR REPLACE TRIGGER ledger_account_stays BEFORE DELETE OR TRUNCATE ON ledger_account
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE OR REPLACE TRIGGER ledger_account_is_what_it_is BEFORE UPDATE OF asset_id, kind, holder ON ledger_account
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE OR REPLACE TRIGGER points_lot_is_what_it_is
BEFORE UPDATE OF account_id, transfer_id, issuer, cost_micro, earned_at, expires_at, amount ON points_lot
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

-- Inside the guard above the depth is 1.
CREATE OR REPLACE TRIGGER points_lot_moves_by_postings BEFORE UPDATE OF remaining ON points_lot
FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION ledger_refuse_change();
CREATE OR REPLACE TRIGGER points_lot_starts_empty BEFORE INSERT ON points_lot
FOR EACH ROW WHEN (NEW.remaining <> 0 OR NEW.held <> 0) EXECUTE FUNCTION ledger_refuse_change();
CREATE OR REPLACE TRIGGER ledger_account_moves_by_postings BEFORE UPDATE OF balance ON ledger_account
FOR EACH ROW WHEN (pg_trigger_depth() = 0 AND OLD.kind IN ('member', 'arrears'))
EXECUTE FUNCTION ledger_refuse_change();
CREATE OR REPLACE TRIGGER ledger_account_starts_empty BEFORE INSERT ON ledger_account
FOR EACH ROW WHEN (NEW.balance <> 0 OR NEW.held <> 0) EXECUTE FUNCTION ledger_refuse_change();
