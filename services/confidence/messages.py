"""Contract messages to plain values and back; beside the servicer, which does nothing else with them."""

from metachat.confidence.v1 import confidence_pb2 as pb

from services.confidence.calibration import Calibration, Method, Verdict
from services.confidence.coefficients import Coefficients
from services.confidence.scoring import Score, ScoreInputs
from services.confidence.signals.catalogue import DESCRIPTIONS


def inputs_of(request: pb.ScoreRequest) -> ScoreInputs:
    """The inputs of a request that has passed validation."""
    return ScoreInputs(
        user_message=request.user_message,
        reply=request.reply,
        history=tuple([message.text for message in request.history]) if request.history else (),
        passages=tuple([passage.text for passage in request.passages]) if request.passages else (),
        samples=tuple(request.samples) if request.samples else (),
        tokens=tuple([token.token for token in request.token_logprobs]) if request.token_logprobs else (),
        logprobs=tuple([token.logprob for token in request.token_logprobs]) if request.token_logprobs else (),
        self_assessment=request.self_assessment if request.HasField("self_assessment") else None,
        marker_tag=request.marker_tag,
        high_stakes_terms=tuple(request.high_stakes_terms) if request.high_stakes_terms else (),
        calibration=calibration_of(request.calibration) if request.HasField("calibration") else None,
    )


def calibration_of(message: pb.Calibration) -> Calibration:
    """A tenant's calibration; without a method it is the global one."""
    return Calibration(
        version=message.version,
        method=Method(message.method) if message.method else Method.GLOBAL,
        slope=message.slope,
        intercept=message.intercept,
        knots=tuple(sorted((knot.raw_score, knot.probability) for knot in message.knots)),
        verdicts=message.verdicts,
        scorer_version=message.scorer_version,
    )


def calibration_message(calibration: Calibration) -> pb.Calibration:
    """The message of a calibration; the edge adds when it was fitted."""
    return pb.Calibration(
        version=calibration.version,
        method=pb.Calibration.Method.ValueType(calibration.method),
        slope=calibration.slope,
        intercept=calibration.intercept,
        knots=[pb.Knot(raw_score=raw, probability=value) for raw, value in calibration.knots],
        verdicts=calibration.verdicts,
        scorer_version=calibration.scorer_version,
    )


def verdict_of(message: pb.Verdict) -> Verdict:
    """One verdict; a weight that was not set counts as 1."""
    return Verdict(message.raw_score, message.correct, message.weight or 1.0, message.pattern or "text")


def response_of(request_id: str, score: Score) -> pb.ScoreResponse:
    """The answer to a request."""
    used = score.calibration
    response = pb.ScoreResponse(
        request_id=request_id,
        score=score.score,
        level=pb.ScoreResponse.Level.ValueType(score.level),
        high_stakes=score.high_stakes,
        high_stakes_terms=score.high_stakes_terms,
        visible_reply=score.visible_reply,
        raw_score=score.raw_score,
        scorer_version=score.scorer_version,
        pattern=score.pattern,
        base=score.base,
        calibration=pb.CalibrationSummary(
            version=used.version, method=pb.Calibration.Method.ValueType(used.method), verdicts=used.verdicts
        ),
    )
    for signal in score.signals:
        response.signals.add(
            name=signal.name,
            available=signal.available,
            value=signal.value,
            weight=signal.weight,
            contribution=signal.contribution,
            reason=signal.reason,
            statement=signal.statement,
            parameters=signal.parameters,
        )
    if score.self_assessment is not None:
        response.self_assessment = score.self_assessment
    return response


def scorer_message(coefficients: Coefficients) -> pb.Scorer:
    """Which scorer this is."""
    return pb.Scorer(
        version=coefficients.version,
        fitted_on=coefficients.fitted_on,
        signals=[
            pb.SignalDescription(name=one.name, description=one.meaning, source=one.source)
            for one in DESCRIPTIONS
        ],
        models=[
            pb.ModelDescription(
                pattern=model.pattern,
                data_sets=model.figures.data_sets,
                rows=model.figures.rows,
                figures=dict(model.figures.values),
            )
            for model in coefficients.models.values()
        ],
    )
