#include "text/sentence_piece_model.h"

#include <cmath>
#include <exception>
#include <protozero/pbf_reader.hpp>

#include "base/utf8.h"

namespace phial {
namespace {

// Numbers of the fields that are read.
enum ModelField : protozero::pbf_tag_type { kPieces = 1, kTrainerSpec = 2, kNormalizerSpec = 3 };
enum PieceField : protozero::pbf_tag_type { kText = 1, kScore = 2, kType = 3 };
enum TrainerField : protozero::pbf_tag_type {
  kModelType = 3,
  kByteFallback = 35,
  kUnkId = 40,
  kBosId = 41,
  kEosId = 42,
  kUnkPiece = 45,
  kBosPiece = 46,
  kEosPiece = 47
};
enum NormalizerField : protozero::pbf_tag_type { kCharsmap = 2 };

std::string_view view_of(protozero::pbf_reader& field) {
  const protozero::data_view view = field.get_view();
  return {view.data(), view.size()};
}

SentencePieceModel::Piece read_piece(protozero::pbf_reader message) {
  SentencePieceModel::Piece piece;
  while (message.next()) {
    switch (message.tag_and_type()) {
      case tag_and_type(kText, protozero::pbf_wire_type::length_delimited):
        piece.text = view_of(message);
        break;
      case tag_and_type(kScore, protozero::pbf_wire_type::fixed32):
        piece.score = message.get_float();
        break;
      case tag_and_type(kType, protozero::pbf_wire_type::varint):
        piece.type = static_cast<SentencePieceModel::Piece::Type>(message.get_enum());
        break;
      default:
        message.skip();
    }
  }
  return piece;
}

void read_trainer(protozero::pbf_reader message, SentencePieceModel& model) {
  while (message.next()) {
    switch (message.tag_and_type()) {
      case tag_and_type(kModelType, protozero::pbf_wire_type::varint):
        model.kind = static_cast<SentencePieceModel::Kind>(message.get_enum());
        break;
      case tag_and_type(kByteFallback, protozero::pbf_wire_type::varint):
        model.byte_fallback = message.get_bool();
        break;
      case tag_and_type(kUnkId, protozero::pbf_wire_type::varint):
        model.unknown_id = message.get_int32();
        break;
      case tag_and_type(kBosId, protozero::pbf_wire_type::varint):
        if (message.get_int32() < 0) model.begin_piece.clear();
        break;
      case tag_and_type(kEosId, protozero::pbf_wire_type::varint):
        if (message.get_int32() < 0) model.end_piece.clear();
        break;
      case tag_and_type(kUnkPiece, protozero::pbf_wire_type::length_delimited):
        model.unknown_piece = view_of(message);
        break;
      case tag_and_type(kBosPiece, protozero::pbf_wire_type::length_delimited):
        if (!model.begin_piece.empty()) model.begin_piece = view_of(message);
        break;
      case tag_and_type(kEosPiece, protozero::pbf_wire_type::length_delimited):
        if (!model.end_piece.empty()) model.end_piece = view_of(message);
        break;
      default:
        message.skip();
    }
  }
}

void read_normalizer(protozero::pbf_reader message, SentencePieceModel& model) {
  while (message.next()) {
    if (message.tag_and_type() ==
        tag_and_type(kCharsmap, protozero::pbf_wire_type::length_delimited)) {
      model.precompiled_charsmap = view_of(message);
    } else {
      message.skip();
    }
  }
}

// Throws what protozero throws: the file's varints, lengths and wire types are checked by it.
SentencePieceModel read_message(std::string_view bytes) {
  SentencePieceModel model;
  protozero::pbf_reader message(bytes.data(), bytes.size());
  while (message.next()) {
    switch (message.tag_and_type()) {
      case tag_and_type(kPieces, protozero::pbf_wire_type::length_delimited):
        model.pieces.push_back(read_piece(message.get_message()));
        break;
      case tag_and_type(kTrainerSpec, protozero::pbf_wire_type::length_delimited):
        read_trainer(message.get_message(), model);
        break;
      case tag_and_type(kNormalizerSpec, protozero::pbf_wire_type::length_delimited):
        read_normalizer(message.get_message(), model);
        break;
      default:
        message.skip();
    }
  }
  return model;
}

}  // namespace

Result<SentencePieceModel> read_sentence_piece_model(std::string_view bytes,
                                                     std::string_view name) {
  SentencePieceModel model;
  try {
    model = read_message(bytes);
  } catch (const protozero::exception& error) {
    return damaged(name, std::string("not a SentencePiece model: ") + error.what());
  }
  if (model.pieces.empty()) return damaged(name, "not a SentencePiece model: it holds no pieces");
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const SentencePieceModel::Piece& piece = model.pieces[id];
    if (piece.text.empty() || utf8::find_invalid(piece.text) || !std::isfinite(piece.score)) {
      return damaged(name, "the piece of id " + std::to_string(id) +
                               " is empty or not UTF-8, or its score is not finite");
    }
  }
  return model;
}

}  // namespace phial
